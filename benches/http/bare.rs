//! The reference: actix-web and actix-files as their documentation shows them.

use actix_files::Files;
use actix_web::{App, HttpServer};

use crate::support::Outcome;

/// Serves a folder on a port until it is killed.
pub(crate) fn run(port: Option<&str>, folder: Option<&str>) -> Outcome<()> {
    let usage = "bare PORT FOLDER";
    let port: u16 = port.and_then(|port| port.parse().ok()).ok_or(usage)?;
    let folder = folder.ok_or(usage)?.to_owned();
    let served = actix_rt::System::new().block_on(async move {
        HttpServer::new(move || App::new().service(Files::new("/", folder.clone())))
            .bind(("127.0.0.1", port))?
            .run()
            .await
    });
    served.map_err(|error| error.to_string())
}
