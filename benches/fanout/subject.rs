//! What is measured: each subject is a process of its own.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;

use super::support::child::Process;
use super::support::{Outcome, free_port, setting, write};

/// Where distributions put the module.
const NGINX_MODULES: &[&str] = &[
    "/usr/lib/nginx/modules/ngx_rtmp_module.so",
    "/usr/lib64/nginx/modules/ngx_rtmp_module.so",
    "/etc/nginx/modules/ngx_rtmp_module.so",
];

/// One of the servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    Bare,
    Ramona,
    /// The node with HTTP-FLV viewers.
    RamonaFlv,
    Nginx,
}

/// A server that listens.
pub(crate) struct Running {
    pub(crate) process: Process,
    pub(crate) viewers_at: SocketAddr,
    pub(crate) publisher_at: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Subject {
    /// As it stands in the tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Bare => "bare loop",
            Self::Ramona => "ramona",
            Self::RamonaFlv => "ramona HTTP-FLV",
            Self::Nginx => "nginx-rtmp",
        }
    }

    /// How its viewers are played to.
    pub(crate) fn carrier(self) -> &'static str {
        match self {
            Self::Bare => "bare",
            Self::RamonaFlv => "flv",
            Self::Ramona | Self::Nginx => "rtmp",
        }
    }

    /// Starts it for so many viewers.
    pub(crate) fn start(self, viewers: usize) -> Outcome<Running> {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let (mut process, viewers_at, publisher_at) = match self {
            Self::Bare => {
                let mut process = Process::part(&["bare", &viewers.to_string()])?;
                let ports = process.line("ports")?;
                let mut ports = ports.split(' ').filter_map(|port| port.parse().ok());
                let mut port = || ports.next().ok_or("the bare loop has no port");
                let (viewers_at, publisher_at) = (port()?, port()?);
                (process, viewers_at, publisher_at)
            }
            Self::Ramona | Self::RamonaFlv => {
                let (port, http) = (free_port()?, free_port()?);
                // The application that the load connects to, without any handler.
                write(&folder.path().join("www/live/main.lua"), "")?;
                let threads = setting("FANOUT_THREADS", 0);
                let configuration = format!(
                    "threads = {threads}\n[RTMP]\nhost = 127.0.0.1\nport = {port}\n[RTMFP]\nport = 0\n[HTTP]\nhost = 127.0.0.1\nport = {http}\n"
                );
                let mut process = Process::node(folder.path(), &configuration)?;
                process.wait_for_port(port)?;
                process.wait_for_port(http)?;
                (process, if self == Self::RamonaFlv { http } else { port }, port)
            }
            Self::Nginx => {
                let port = free_port()?;
                let mut process = nginx(folder.path(), port)?;
                process.wait_for_port(port)?;
                (process, port, port)
            }
        };
        process.forget_output();
        let local = |port: u16| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let (viewers_at, publisher_at) = (local(viewers_at), local(publisher_at));
        Ok(Running { process, viewers_at, publisher_at, _folder: folder })
    }
}

/// Why there is no nginx to compare with.
pub(crate) fn nginx_missing() -> Option<&'static str> {
    let quiet = Command::new("nginx").arg("-v").stderr(std::process::Stdio::null()).status();
    if !quiet.is_ok_and(|status| status.success()) {
        return Some("nginx is not installed (Debian: nginx-core libnginx-mod-rtmp)");
    }
    nginx_module().is_none().then_some("nginx has no RTMP module (Debian: libnginx-mod-rtmp)")
}

fn nginx_module() -> Option<&'static str> {
    NGINX_MODULES.iter().copied().find(|path| Path::new(path).exists())
}

/// One process, as large chunks as the node's, no log: what one would set for speed.
fn nginx(folder: &Path, port: u16) -> Outcome<Process> {
    let module = nginx_module().ok_or("nginx has no RTMP module")?;
    let folder_name = folder.display();
    let file = folder.join("nginx.conf");
    write(
        &file,
        &format!(
            "load_module {module};
daemon off;
master_process off;
worker_processes 1;
worker_rlimit_nofile 8192;
pid {folder_name}/nginx.pid;
error_log stderr crit;
events {{ worker_connections 8192; }}
rtmp {{
    access_log off;
    server {{
        listen 127.0.0.1:{port};
        chunk_size 65536;
        application live {{ live on; }}
    }}
}}
"
        ),
    )?;
    Process::start(Command::new("nginx").arg("-p").arg(folder).arg("-c").arg(&file))
}
