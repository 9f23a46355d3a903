//! The rules of HTTP that scripts and visitors see (script API spec 4.14), without input or
//! output: which path names which application and file, cookies, templates, folder listings,
//! CORS, the node's own small pages. Whoever owns a socket asks here.

#![forbid(unsafe_code)]

mod cookie;
mod cors;
pub mod fuzz;
mod listing;
mod page;
mod target;
mod template;

pub use cookie::{CookieError, SetCookie, cookies};
pub use cors::{ALLOWED_METHODS, MAX_AGE, foreign_origin};
pub use listing::{Entry, Order, listing};
pub use page::{error_page, escape_html};
pub use target::{MAX_PARTS, Target, TargetError, is_hidden, last_part};
pub use template::render;
