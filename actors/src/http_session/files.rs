//! Files below `www` (HTT-04, HTT-06, HTT-08, HTT-09).
//!
//! Nothing outside of `www` is ever opened: names have no separators when they come here, and the
//! kernel resolves them beneath the folder, links included. A link that leads out of `www` is
//! refused; one inside works.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use actix_files::NamedFile;
use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use ramona_http::{Entry, Order, Target, is_hidden, listing, render};
use rustix::fs::{Mode, OFlags, ResolveFlags};

use super::limits::{MAX_LISTED, MAX_TEMPLATE};
use super::problem::Problem;

/// Files up to this size are read at once, on the arbiter: that is cheaper than the way to another
/// thread and back, as long as it is a copy out of the page cache.
const READ_AT_ONCE: u64 = 64 << 10;

/// The folder of all applications.
#[derive(Clone, Copy, Debug)]
pub(super) struct Folder<'a> {
    www: &'a Path,
}

impl<'a> Folder<'a> {
    pub(super) fn new(www: &'a Path) -> Self {
        Self { www }
    }

    /// A name that is an application's folder is that application: who posts writes no final
    /// slash.
    pub(super) fn application(&self, target: Target) -> Target {
        let Some(name) = &target.name else { return target };
        let app = format!("{}/{name}", target.app);
        let is_folder = self.open(&app).and_then(|file| file.metadata()).is_ok_and(|m| m.is_dir());
        if is_folder { Target { app, name: None } } else { target }
    }

    /// Opens what is at a path that begins with a slash, whatever it is.
    fn open(&self, path: &str) -> io::Result<File> {
        let folder = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(self.www, folder, Mode::empty())?;
        // Without waiting for the other end of a pipe.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let within = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        let relative = path.trim_start_matches('/');
        let relative = if relative.is_empty() { "." } else { relative };
        match rustix::fs::openat2(&root, relative, flags, Mode::empty(), within) {
            Ok(file) => Ok(File::from(file)),
            // Kernels before 5.6, and sandboxes that do not know the call.
            Err(rustix::io::Errno::NOSYS | rustix::io::Errno::PERM) => {
                let www = self.www.canonicalize()?;
                let real = www.join(relative).canonicalize()?;
                if !real.starts_with(&www) {
                    return Err(rustix::io::Errno::XDEV.into());
                }
                let file = rustix::fs::open(&real, flags | OFlags::NOFOLLOW, Mode::empty())?;
                Ok(File::from(file))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// A file of an application's folder.
    pub(super) async fn send(
        &self,
        app: &str,
        name: &str,
        values: Option<Vec<(Bytes, Bytes)>>,
        request: &HttpRequest,
    ) -> Result<HttpResponse, Problem> {
        let file = self.open(&format!("{app}/{name}")).map_err(problem)?;
        let meta = file.metadata().map_err(problem)?;
        if meta.is_dir() {
            let folder = Target { app: app.to_owned(), name: Some(name.to_owned()) };
            return Ok(moved(&folder, request));
        }
        if !meta.is_file() {
            return Err(Problem::new(StatusCode::LOCKED, "not a regular file"));
        }
        let named = NamedFile::from_file(file, name).map_err(problem)?;
        let kind = content_type(name, named.content_type());
        if let Some(values) = values
            && kind.type_() == mime::TEXT
        {
            return fill(named, meta.len(), &kind, values).await;
        }
        let named = named.set_content_type(kind);
        let named = named.disable_content_disposition().read_mode_threshold(READ_AT_ONCE);
        Ok(named.into_response(request))
    }

    /// The listing of an application's folder.
    pub(super) async fn list(&self, app: &str, query: &str) -> Result<HttpResponse, Problem> {
        // Opened first: the kernel says whether it is inside of `www`.
        let folder = self.open(app).map_err(problem)?;
        if !folder.metadata().map_err(problem)?.is_dir() {
            return Err(Problem::new(StatusCode::NOT_FOUND, "not a folder"));
        }
        let path = self.www.join(app.trim_start_matches('/'));
        let (title, order) = (app.to_owned(), Order::of_query(query));
        let page = web::block(move || {
            let (entries, more) = entries(&path)?;
            Ok::<_, io::Error>(listing(&title, entries, order, more))
        });
        let page = page.await.map_err(|_| stopping())?.map_err(problem)?;
        Ok(HttpResponse::Ok()
            .content_type("text/html; charset=utf-8")
            .insert_header((header::CACHE_CONTROL, "no-cache"))
            .body(page))
    }
}

/// What a folder shows, and how much more it holds.
fn entries(path: &PathBuf) -> io::Result<(Vec<Entry>, usize)> {
    let mut entries = Vec::new();
    let mut more = 0;
    for entry in std::fs::read_dir(path)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if is_hidden(&name) {
            continue;
        }
        if entries.len() == MAX_LISTED {
            more += 1;
            continue;
        }
        // A link to nowhere is not there for visitors.
        let Ok(meta) = std::fs::metadata(entry.path()) else { continue };
        let is_folder = meta.is_dir();
        let size = if is_folder { 0 } else { meta.len() };
        entries.push(Entry { name, size, modified: meta.modified().ok(), is_folder });
    }
    Ok((entries, more))
}

/// HTT-06: what is sent changes with the values, so there is nothing to compare it with.
async fn fill(
    named: NamedFile,
    length: u64,
    kind: &mime::Mime,
    values: Vec<(Bytes, Bytes)>,
) -> Result<HttpResponse, Problem> {
    if length > MAX_TEMPLATE {
        let text = format!("a file with marks is longer than {MAX_TEMPLATE} bytes");
        return Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, text));
    }
    let page = web::block(move || {
        let mut text = Vec::new();
        named.file().take(MAX_TEMPLATE).read_to_end(&mut text)?;
        let find =
            |key: &[u8]| values.iter().find(|(known, _)| known == key).map(|(_, value)| &value[..]);
        Ok::<_, io::Error>(render(&text, find))
    });
    let page = page.await.map_err(|_| stopping())?.map_err(problem)?;
    Ok(HttpResponse::Ok()
        .content_type(kind.as_ref())
        .insert_header((header::CACHE_CONTROL, "no-cache"))
        .body(page))
}

/// The type of a file: `known` by its extension, but for media that the table has otherwise. Text
/// is UTF-8, as editors write it.
fn content_type(name: &str, known: &mime::Mime) -> mime::Mime {
    let extension = name.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase());
    let media = match extension.as_deref() {
        Some("ts") => "video/mp2t",
        Some("m3u8") => "application/vnd.apple.mpegurl",
        Some("flv") => "video/x-flv",
        _ => "",
    };
    if let Ok(media) = media.parse() {
        return media;
    }
    if known.type_() == mime::TEXT && known.get_param(mime::CHARSET).is_none() {
        let with_charset = format!("{}; charset=utf-8", known.essence_str());
        return with_charset.parse().unwrap_or_else(|_| known.clone());
    }
    known.clone()
}

fn moved(folder: &Target, request: &HttpRequest) -> HttpResponse {
    let query = request.query_string();
    let mark = if query.is_empty() { "" } else { "?" };
    HttpResponse::MovedPermanently()
        .insert_header((header::LOCATION, format!("{}{mark}{query}", folder.folder_url())))
        .finish()
}

fn problem(error: io::Error) -> Problem {
    use rustix::io::Errno;
    match Errno::from_io_error(&error) {
        Some(Errno::NOENT | Errno::NOTDIR | Errno::NAMETOOLONG | Errno::INVAL) => {
            Problem::new(StatusCode::NOT_FOUND, "there is no such file")
        }
        Some(Errno::XDEV | Errno::LOOP) => {
            Problem::hostile(StatusCode::FORBIDDEN, "a link that does not stay in www")
        }
        // A socket or a device without driver is no file either.
        Some(Errno::ACCESS | Errno::PERM | Errno::NXIO | Errno::TXTBSY) => {
            Problem::new(StatusCode::LOCKED, "the file cannot be read")
        }
        _ => {
            tracing::warn!(%error, "a file cannot be read");
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the file cannot be read")
        }
    }
}

fn stopping() -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the node stops")
}
