//! What the next message of a session needs of memory.

use crate::session::Session;

/// Is shown parts of a session's memory.
pub trait MemoryVisitor {
    /// One part. It is not read; its address and size say what may be fetched.
    fn visit<T>(&mut self, part: &T);
}

impl Session {
    /// Shows what sending the next message, or taking an acknowledgement, needs: first the session
    /// itself, and with each step what the memory of the step before points to. `false` when nothing
    /// is left.
    ///
    /// Between two messages all of it leaves the cache. Who handles many sessions in a row fetches
    /// the first step of them all, then the next, so that they are waited for together.
    pub fn visit_memory(&self, step: usize, visitor: &mut impl MemoryVisitor) -> bool {
        let flows = self.send_flows.likely();
        match step {
            0 => visitor.visit(self),
            1 => flows.for_each(|flow| visitor.visit(flow)),
            _ => flows.for_each(|flow| flow.visit_queues(visitor)),
        }
        step < 2
    }
}
