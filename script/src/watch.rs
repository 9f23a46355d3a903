//! Scripts that misbehave: handlers that do not end (`script.budget`), and memory
//! (`script.memory`).

use std::sync::Arc;
use std::time::Duration;

use mlua::Lua;
use mlua::state::{GcIncParams, GcMode};

use crate::core::Core;
use crate::host::LogLevel;
use crate::raw::Shared;

/// The text of Lua's own error.
pub(crate) const OUT_OF_MEMORY: &[u8] = b"not enough memory";

/// LuaJIT's collector begins a round when memory is this many percent of what the last one left.
const USUAL_PAUSE: usize = 200;

/// Interrupts handlers of one engine from another thread.
///
/// The engine measures nobody: whoever holds this looks at [`running`](Self::running) from time to
/// time and calls [`interrupt`](Self::interrupt) when one number stays for too long.
#[derive(Clone, Debug)]
pub struct Interrupter(pub(crate) Arc<Shared>);

impl Interrupter {
    /// A number for the handler that runs now; `None` when none does. Two handlers in one event
    /// have two numbers, a handler and what it calls have one.
    pub fn running(&self) -> Option<u64> {
        self.0.running()
    }

    /// Processor time that the engine's thread has taken so far, which is what a handler is to blame
    /// for on a machine that others use as well; `None` once the engine ended.
    pub fn processor_time(&self) -> Option<Duration> {
        self.0.processor_time()
    }

    /// Makes the handler end by a Lua error that names file, line and function. It is raised again
    /// as often as the script catches it. Nothing happens when the handler ended meanwhile.
    ///
    /// One C function (a hopeless string pattern, `os.execute`, a blocking read) is not
    /// interrupted inside, and neither is a `__gc` metamethod: the error follows it. Calling this
    /// again does no harm.
    pub fn interrupt(&self, run: u64) {
        self.0.interrupt(run);
    }
}

impl Core {
    pub(crate) fn add_watch_natives(&self) -> mlua::Result<()> {
        // The outermost handler ended: a loop over handlers goes on with a new budget.
        self.native("room", |core, lua, size: f64| {
            let limit = core.config.memory;
            let fits = || limit == 0 || lua.used_memory() as f64 + size < limit as f64;
            if !fits() {
                lua.gc_collect()?;
            }
            Ok(fits())
        })?;
        self.native("interrupted", |core, _, ()| Ok(core.runs.interrupted()))?;
        self.native("next_run", |core, _, ()| {
            core.runs.next();
            Ok(())
        })
    }

    /// A handler met the limit of memory: what it left behind is collected for the next one.
    pub(crate) fn out_of_memory(&self) {
        let Some(lua) = self.lua() else { return };
        // Twice: the first finds objects with finalizers, the second what they held.
        for _ in 0..2 {
            // The error of a finalizer is the script's own affair.
            let _ = lua.gc_collect();
        }
        let text = format!(
            "scripts met script.memory ({} bytes); after a collection they hold {}",
            self.config.memory,
            lua.used_memory()
        );
        self.log_app(LogLevel::Error, "", text.as_bytes());
    }

    /// Keeps the collector's next round below the limit of memory, for garbage counts too.
    pub(crate) fn tune_memory(&self, lua: &Lua) {
        let (limit, used) = (self.config.memory, lua.used_memory());
        if limit == 0 || used < limit / 5 * 2 {
            return;
        }
        let most = limit / 10 * 9;
        let pause = (most.saturating_mul(100) / used.max(1)).clamp(105, USUAL_PAUSE);
        let pause = i32::try_from(pause).unwrap_or(105);
        lua.gc_set_mode(GcMode::Incremental(GcIncParams::default().pause(pause)));
    }
}
