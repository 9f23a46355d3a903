//! Modules in C (GEN-02): the pages of MonaServer extend scripts by them, for databases and the like.

use std::process::Command;

use ramona_testkit::{Program, free_port};

/// Declares what it uses of Lua's interface: its headers need not be there.
const MODULE: &str = r#"
typedef struct lua_State lua_State;
typedef int (*lua_CFunction)(lua_State *);
extern void lua_pushnumber(lua_State *, double);
extern void lua_pushcclosure(lua_State *, lua_CFunction, int);
extern void lua_createtable(lua_State *, int, int);
extern void lua_setfield(lua_State *, int, const char *);
extern double luaL_checknumber(lua_State *, int);
static int twice(lua_State *L) {
    lua_pushnumber(L, 2 * luaL_checknumber(L, 1));
    return 1;
}
int luaopen_audit_c(lua_State *L) {
    lua_createtable(L, 0, 1);
    lua_pushcclosure(L, twice, 0);
    lua_setfield(L, -2, "twice");
    return 1;
}
"#;

#[tokio::test]
async fn gen_02_and_env_38_require_loads_modules_in_c() {
    let folder = tempfile::tempdir().expect("a folder");
    let (source, module) = (folder.path().join("m.c"), folder.path().join("audit_c.so"));
    std::fs::write(&source, MODULE).expect("the module's source");
    // LuaJIT itself is built by it.
    let built =
        Command::new("cc").args(["-shared", "-fPIC", "-o"]).args([&module, &source]).status();
    assert!(built.expect("a C compiler").success());
    let script = format!(
        "package.cpath = '{}/?.so;'..package.cpath
         local module = require('audit_c')
         NOTE('twice 21 is ', module.twice(21), ', ', pcall(module.twice, 'x'))",
        folder.path().display()
    );
    let ini = format!(
        "[RTMP]\nport = 0\n[RTMFP]\nport = 0\n[HTTP]\nport = {}\nhost = 127.0.0.1",
        free_port()
    );
    let mut program = Program::start(env!("CARGO_BIN_EXE_ramona"), &ini, &script, &[]);
    program.logged(&["NOTE", "twice 21 is 42, false", "number expected"]).await;
}
