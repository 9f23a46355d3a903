//! Tests of the crate as a whole: both ends, a network between them.

mod corpus;
mod loss;

/// Sessions live on any thread, agreements are computed on any.
#[test]
fn what_is_handed_around_can_change_threads() {
    fn sendable<T: Send + 'static>() {}
    sendable::<crate::Session>();
    sendable::<crate::Endpoint>();
    sendable::<crate::AgreeJob>();
    sendable::<crate::Agreement>();
    sendable::<crate::EndpointEvent>();
}
