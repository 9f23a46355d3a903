//! XML (1.0, fifth edition, without document types): what XML-RPC and both dialects share, and
//! the dialects.

mod array;
mod dom;
pub(crate) mod text;
pub(crate) mod tree;

use crate::document::Document;
use crate::error::ReadError;
use crate::xmlrpc;

pub use array::XmlArrayEncoder;
pub use dom::XmlDocumentEncoder;

/// Reads XML as `mona:fromXML` does: the 2014 dialect when the root is `__array`
/// ([`Kind::XmlArray`](crate::Kind), CNV-30), else the document as one value
/// ([`Kind::XmlDom`](crate::Kind), CNV-32).
///
/// # Errors
/// [`ReadError`]. Text that is not UTF-8, an entity beyond the five of XML and a document type
/// that declares anything are malformed.
pub fn read_xml(text: &[u8]) -> Result<Document, ReadError> {
    let tree = tree::parse("XML", text)?;
    if tree.name(tree.root()) == array::ARRAY { array::read(&tree) } else { dom::read(&tree) }
}

/// Reads the body of a request: XML-RPC when the root is `methodCall` or `methodResponse`, else
/// as [`read_xml`] (HTT-03).
///
/// # Errors
/// [`ReadError`].
pub fn read_xml_body(text: &[u8]) -> Result<Document, ReadError> {
    let tree = tree::parse("XML", text)?;
    match tree.name(tree.root()) {
        xmlrpc::CALL | xmlrpc::RESPONSE => xmlrpc::read(&tree),
        name if name == array::ARRAY => array::read(&tree),
        _ => dom::read(&tree),
    }
}
