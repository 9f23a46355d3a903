//! Modules in C that scripts load by `require` call LuaJIT's functions: the program exports them, as
//! one does that Lua is linked to statically.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "linux") {
        // lua_*, luaL_*, luaJIT_* and luaopen_*; nothing of ours begins so.
        println!("cargo:rustc-link-arg-bins=-Wl,--export-dynamic-symbol=lua*");
    }
}
