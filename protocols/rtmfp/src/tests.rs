//! Tests of the crate as a whole: both ends, a network between them.

mod loss;
