//! Tells whether LuaJIT is built so that compiled loops can be interrupted.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=STATIC_CC");
    println!("cargo:rustc-check-cfg=cfg(checkhook)");
    let compiler = std::env::var("STATIC_CC").unwrap_or_default();
    if compiler.contains("LUAJIT_ENABLE_CHECKHOOK") {
        println!("cargo:rustc-cfg=checkhook");
    } else {
        println!(
            "cargo:warning=LuaJIT is built without LUAJIT_ENABLE_CHECKHOOK (STATIC_CC, see \
             .cargo/config.toml): scripts run uncompiled, so that they can be interrupted"
        );
    }
}
