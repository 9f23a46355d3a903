//! The unsafe steps of this crate but those of conversions (`value/stack.rs`): making the Lua state,
//! and interrupting it from outside.
//!
//! # How a script is interrupted
//! LuaJIT allows `lua_sethook` at any time from a signal handler on the state's own thread (its
//! manual and `luajit.c`, which answers Ctrl-C so). So another thread sends a signal to the
//! engine's thread, and the handler sets a hook that raises an error before the next instruction
//! of a script. Compiled loops look for the hook because LuaJIT is built with
//! `LUAJIT_ENABLE_CHECKHOOK` (`.cargo/config.toml`). Nothing but a number is written while no
//! handler is interrupted.
//!
//! # How memory is bounded
//! An allocation that failed would end the process wherever it happens outside of a protected call,
//! and mlua's protection of everything costs a call twice its time. So no allocation fails: the one
//! that passes the limit sets the same hook, and the error comes with the script's next
//! instruction.

#![allow(unsafe_code)]

use std::cell::Cell;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed, compiler_fence};
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::time::Duration;

use mlua::{Lua, LuaOptions, StdLib, ffi};

use crate::log::PRELUDE_SOURCE;

/// The signal between the two threads. Its default action is to be ignored, nobody else sends it,
/// and debuggers pass it on: what Go's scheduler uses for the same purpose.
const SIGNAL: c_int = libc::SIGURG;

thread_local! {
    /// Whose handler runs on this thread, for the signal handler; null when none does. Constant and
    /// without destructor, so that reading it needs no allocation.
    static RUNNING: Cell<*const Runs> = const { Cell::new(ptr::null()) };
}

/// A Lua state with all standard libraries open (GEN-02): scripts are the operator's own
/// programs and may use `debug`, `ffi` and C modules, as under MonaServer.
pub(crate) fn new_state() -> Lua {
    // SAFETY: what makes this constructor unsafe is that scripts get `debug`, `ffi` and C modules,
    // with which they can break any invariant of the process. That is the operator's choice, as
    // with every program they run; nothing that comes from a network is run as Lua.
    unsafe { Lua::unsafe_new_with(StdLib::ALL, LuaOptions::default()) }
}

/// What the engine's thread and its watcher share.
#[derive(Debug)]
pub(crate) struct Shared {
    /// Odd while a handler runs; each begin and each end adds one.
    run: AtomicU64,
    /// The run that is to be interrupted.
    stop: AtomicU64,
    /// The engine's thread, as long as the engine lives.
    thread: Mutex<Option<libc::pthread_t>>,
}

impl Shared {
    /// The run of now, `None` between runs.
    pub(crate) fn running(&self) -> Option<u64> {
        Some(self.run.load(Relaxed)).filter(|run| run % 2 == 1)
    }

    /// Processor time of the engine's thread so far; `None` once the engine ended.
    pub(crate) fn processor_time(&self) -> Option<Duration> {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        let thread = (*thread)?;
        let mut clock = 0;
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: the thread lives, as in `interrupt`, and both calls write to what they are given.
        let result = unsafe {
            match libc::pthread_getcpuclockid(thread, &raw mut clock) {
                0 => libc::clock_gettime(clock, &raw mut time),
                error => error,
            }
        };
        let (seconds, nanos) = (u64::try_from(time.tv_sec), u32::try_from(time.tv_nsec));
        (result == 0).then(|| Duration::new(seconds.unwrap_or(0), nanos.unwrap_or(0)))
    }

    /// Makes a run end by an error; nothing happens when it is over.
    pub(crate) fn interrupt(&self, run: u64) {
        self.stop.store(run, Relaxed);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(thread) = *thread {
            // SAFETY: the thread lives: it takes itself out under this lock when the engine ends,
            // and the engine never leaves its thread. The signal's handler was installed first.
            unsafe { libc::pthread_kill(thread, SIGNAL) };
        }
    }
}

/// The runs of one engine.
#[derive(Debug)]
pub(crate) struct Runs {
    /// Main thread of the Lua state; valid as long as the engine.
    state: *mut ffi::lua_State,
    shared: Arc<Shared>,
    /// What `RUNNING` was before.
    outer: Cell<*const Runs>,
    depth: Cell<u32>,
    /// The hook is set.
    hooked: Cell<bool>,
    /// And it was called since the last signal.
    fired: Cell<bool>,
    memory: Option<&'static Memory>,
}

/// What the Lua state holds; it counts beside mlua's own allocator.
#[derive(Debug)]
struct Memory {
    allocate: ffi::lua_Alloc,
    data: *mut c_void,
    used: Cell<usize>,
    limit: usize,
    /// The limit was passed, and nobody has looked yet.
    over: Cell<bool>,
    /// Errors raised for it.
    errors: Cell<u64>,
}

impl Memory {
    /// Counts from now on. What is answered lives as long as the process, as the state's end would
    /// be hard to know; there is one for each engine.
    fn count(state: *mut ffi::lua_State, limit: usize) -> &'static Self {
        let mut data = ptr::null_mut();
        // SAFETY: the state lives, the allocator is replaced by one that passes everything on, and
        // mlua asks for its own only to find its limit, which is not in use, and to free its three
        // words at the end.
        unsafe {
            let allocate = ffi::lua_getallocf(state, &raw mut data);
            let kilobytes = ffi::lua_gc(state, ffi::LUA_GCCOUNT, 0);
            let used = Cell::new(usize::try_from(kilobytes).unwrap_or(0) << 10);
            let over = Cell::new(false);
            let errors = Cell::new(0);
            let memory = &*Box::leak(Box::new(Self { allocate, data, used, limit, over, errors }));
            ffi::lua_setallocf(state, allocate_counted, ptr::from_ref(memory).cast_mut().cast());
            memory
        }
    }
}

unsafe extern "C" fn allocate_counted(
    data: *mut c_void,
    block: *mut c_void,
    old: usize,
    new: usize,
) -> *mut c_void {
    // SAFETY: what `Memory::count` gave; the engine's thread is the only one here.
    let memory = unsafe { &*data.cast::<Memory>() };
    let used = memory.used.get().wrapping_add(new).wrapping_sub(old);
    memory.used.set(used);
    if used > memory.limit && new > old && !memory.over.get() {
        memory.over.set(true);
        let running = RUNNING.get();
        if !running.is_null() {
            // SAFETY: as in `on_signal`.
            unsafe { (*running).hook() };
        }
    }
    // SAFETY: the arguments of Lua.
    unsafe { (memory.allocate)(memory.data, block, old, new) }
}

impl Runs {
    /// Runs of this state, on this thread.
    pub(crate) fn new(lua: &Lua, memory: usize) -> mlua::Result<Self> {
        install();
        let state = Cell::new(ptr::null_mut());
        // SAFETY: the closure only looks at its argument. Nobody runs in a coroutine here, so it is
        // the main thread, which lives as long as the state.
        unsafe { lua.exec_raw::<()>((), |raw| state.set(raw))? };
        // SAFETY: always succeeds.
        let thread = unsafe { libc::pthread_self() };
        let shared = Arc::new(Shared {
            run: AtomicU64::new(0),
            stop: AtomicU64::new(0),
            thread: Mutex::new(Some(thread)),
        });
        Ok(Self {
            state: state.get(),
            shared,
            outer: Cell::new(ptr::null()),
            depth: Cell::new(0),
            hooked: Cell::new(false),
            fired: Cell::new(false),
            memory: (memory > 0).then(|| Memory::count(state.get(), memory)),
        })
    }

    pub(crate) fn shared(&self) -> Arc<Shared> {
        self.shared.clone()
    }

    /// A run begins; it ends when the answer goes. Runs inside a run belong to it.
    pub(crate) fn begin(&self) -> Run<'_> {
        let depth = self.depth.get();
        self.depth.set(depth + 1);
        if depth == 0 {
            self.outer.set(RUNNING.replace(self));
            self.count();
        }
        Run(self)
    }

    /// How often the limit of memory was met.
    pub(crate) fn memory_errors(&self) -> u64 {
        self.memory.map_or(0, |memory| memory.errors.get())
    }

    /// Whether the present run was interrupted.
    pub(crate) fn interrupted(&self) -> bool {
        self.shared.stop.load(Relaxed) == self.shared.run.load(Relaxed)
    }

    /// Ends the present run and begins the next one: another handler in the same event.
    pub(crate) fn next(&self) {
        if self.depth.get() > 0 {
            self.end();
            self.count();
        }
    }

    fn count(&self) {
        // Written by this thread only.
        let run = self.shared.run.load(Relaxed);
        self.shared.run.store(run + 1, Relaxed);
        // The signal handler runs on this thread: the order of instructions is all that counts.
        compiler_fence(std::sync::atomic::Ordering::SeqCst);
    }

    fn end(&self) {
        self.count();
        // A signal from here on finds another number and does nothing.
        if self.hooked.replace(false) {
            // SAFETY: the state lives, and this is its thread.
            unsafe { ffi::lua_sethook(self.state, None, 0, 0) };
        }
        if let Some(memory) = self.memory {
            memory.over.set(false);
        }
    }

    /// Sets the hook. Count 1: before every instruction, so that a script that catches the error
    /// meets the next one at once.
    fn hook(&self) {
        self.hooked.set(true);
        self.fired.set(false);
        // SAFETY: the state lives while it runs, this is its thread, and LuaJIT allows this call at
        // any point of it.
        unsafe { ffi::lua_sethook(self.state, Some(on_hook), ffi::LUA_MASKCOUNT, 1) };
    }
}

impl Drop for Runs {
    fn drop(&mut self) {
        *self.shared.thread.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// See [`Runs::begin`].
#[derive(Debug)]
pub(crate) struct Run<'a>(&'a Runs);

impl Drop for Run<'_> {
    fn drop(&mut self) {
        let depth = self.0.depth.get() - 1;
        self.0.depth.set(depth);
        if depth == 0 {
            self.0.end();
            RUNNING.set(self.0.outer.get());
        }
    }
}

/// Installs the signal's handler, once for the process.
fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: a zeroed sigaction is valid, the handler below does only what is allowed in one
        // (it reads and writes memory of its own thread), and SA_RESTART keeps system calls of
        // others from failing. Failure would leave the default, which ignores the signal.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = on_signal as extern "C" fn(c_int) as libc::sighandler_t;
            action.sa_flags = libc::SA_RESTART | libc::SA_ONSTACK;
            libc::sigemptyset(&raw mut action.sa_mask);
            libc::sigaction(SIGNAL, &raw const action, ptr::null_mut());
        }
    });
}

extern "C" fn on_signal(_: c_int) {
    let running = RUNNING.get();
    if running.is_null() {
        return;
    }
    // SAFETY: set by `begin` on this thread and reset before the value goes.
    let runs = unsafe { &*running };
    // Once is enough, unless the signal came while LuaJIT changed its dispatch and the hook got lost.
    // Not more often, for each call ends the recording of a trace wherever that stands.
    if runs.interrupted() && (!runs.hooked.get() || !runs.fired.replace(false)) {
        runs.hook();
    }
}

/// Raises the error of an interrupted script. The prelude goes on: it is what reports the error.
unsafe extern "C-unwind" fn on_hook(state: *mut ffi::lua_State, info: *mut ffi::lua_Debug) {
    // SAFETY: Lua gives both for the time of this call, `lua_getinfo` fills in the strings of what
    // it is asked for (`name` may be null), and no value with a destructor is on this frame when
    // `lua_error` leaves it.
    unsafe {
        if ffi::lua_getinfo(state, c"nSl".as_ptr(), info) == 0 {
            return;
        }
        let info = &*info;
        if CStr::from_ptr(info.source).to_bytes().starts_with(PRELUDE_SOURCE) {
            return;
        }
        let running = RUNNING.get();
        if running.is_null() {
            return;
        }
        let runs = &*running;
        runs.fired.set(true);
        if !runs.interrupted() {
            return memory_hook(state, runs);
        }
        let place = info.short_src.as_ptr();
        let line = info.currentline;
        if !info.name.is_null() {
            let text = c"%s:%d: interrupted in function '%s': longer than script.budget";
            ffi::lua_pushfstring(state, text.as_ptr(), place, line, info.name);
        } else if *info.what == b'm' as c_char {
            let text = c"%s:%d: interrupted in the main chunk: longer than script.budget";
            ffi::lua_pushfstring(state, text.as_ptr(), place, line);
        } else {
            let text = c"%s:%d: interrupted in the function of line %d: longer than script.budget";
            ffi::lua_pushfstring(state, text.as_ptr(), place, line, info.linedefined);
        }
        ffi::lua_error(state);
    }
}

/// Garbage is no reason for an error: what lives counts, up to seven eighths of the limit, so that
/// a state near it is not collected all the time.
unsafe fn memory_hook(state: *mut ffi::lua_State, runs: &Runs) {
    // SAFETY: called by Lua's hook, where everything is allowed; no value with a destructor is on
    // this frame when an error leaves it.
    unsafe {
        if let Some(memory) = runs.memory
            && memory.over.replace(false)
        {
            ffi::lua_gc(state, ffi::LUA_GCCOLLECT, 0);
            ffi::lua_sethook(state, None, 0, 0);
            runs.hooked.set(false);
            if memory.used.get() > memory.limit / 8 * 7 {
                memory.errors.set(memory.errors.get() + 1);
                ffi::lua_pushstring(state, c"not enough memory".as_ptr());
                ffi::lua_error(state);
            }
        }
    }
}
