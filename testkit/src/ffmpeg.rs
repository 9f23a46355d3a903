//! ffmpeg as publisher and player.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::wait;

/// A running ffmpeg; killed when dropped.
#[derive(Debug)]
pub struct Ffmpeg {
    child: Child,
    folder: TempDir,
}

impl Ffmpeg {
    /// Publishes moving test pictures and a tone in real time for `seconds`, H.264 with a key
    /// frame every half second and AAC. What it sends is also in [`file`](Self::file).
    pub fn publish(url: &str, seconds: f64) -> Self {
        let folder = tempfile::tempdir().expect("a folder for ffmpeg");
        let file = folder.path().join("sent.flv");
        let pictures = format!("testsrc2=size=320x180:rate=25:duration={seconds}");
        let sound = format!("sine=frequency=440:sample_rate=44100:duration={seconds}");
        let outputs = format!("[f=flv:flush_packets=1]{}|[f=flv]{url}", file.display());
        let mut command = Command::new("ffmpeg");
        command.args(["-nostdin", "-hide_banner", "-loglevel", "warning", "-re"]);
        command.args(["-f", "lavfi", "-i", &pictures, "-f", "lavfi", "-i", &sound]);
        command.args(["-map", "0:v", "-map", "1:a", "-c:v", "libx264", "-preset", "ultrafast"]);
        command.args(["-pix_fmt", "yuv420p", "-g", "12", "-threads", "1", "-c:a", "aac"]);
        command.args(["-flags", "+global_header", "-f", "tee", &outputs]);
        Self::spawn(command, folder)
    }

    /// Plays a stream into a picture file: what decodes without an error is a real picture.
    pub fn grab_picture(url: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder for ffmpeg");
        let picture = folder.path().join("picture.png");
        let mut command = Command::new("ffmpeg");
        command.args(["-nostdin", "-hide_banner", "-loglevel", "warning", "-xerror"]);
        command.args(["-err_detect", "explode", "-i", url]);
        // Some pictures before the one that is kept, so that references between them count.
        command.args(["-map", "0:v", "-vf", "select=gte(n\\,5)", "-frames:v", "1"]);
        command.arg(picture);
        Self::spawn(command, folder)
    }

    /// Plays `seconds` of a stream and decodes all of it; any decoding error is the end.
    pub fn decode(url: &str, seconds: f64) -> Self {
        let folder = tempfile::tempdir().expect("a folder for ffmpeg");
        let mut command = Command::new("ffmpeg");
        command.args(["-nostdin", "-hide_banner", "-loglevel", "warning", "-xerror"]);
        command.args(["-err_detect", "explode", "-i", url, "-t", &seconds.to_string()]);
        command.args(["-f", "null", "-"]);
        Self::spawn(command, folder)
    }

    fn spawn(mut command: Command, folder: TempDir) -> Self {
        let log = File::create(folder.path().join("log")).expect("a log file for ffmpeg");
        let output = log.try_clone().expect("a log file for ffmpeg");
        let child = command.stdin(Stdio::null()).stdout(output).stderr(log).spawn();
        let child = child.unwrap_or_else(|error| {
            panic!(
                "ffmpeg does not start: {error}; these tests need it (on Debian: sudo apt-get \
                 install ffmpeg, or cargo xtask test, which installs it)"
            )
        });
        Self { child, folder }
    }

    /// What [`publish`](Self::publish) sends, as FLV; it grows while ffmpeg runs.
    pub fn file(&self) -> PathBuf {
        self.folder.path().join("sent.flv")
    }

    /// The picture of [`grab_picture`](Self::grab_picture).
    pub fn picture(&self) -> PathBuf {
        self.folder.path().join("picture.png")
    }

    /// What it said so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Waits until it ended by itself, without an error.
    ///
    /// # Panics
    /// It failed or does not end; with what it said.
    pub async fn finished(&mut self) {
        let child = &mut self.child;
        let status = wait::until_some("ffmpeg to end", || child.try_wait().expect("a child")).await;
        assert!(status.success(), "ffmpeg: {status}\n{}", self.log());
    }
}

impl Drop for Ffmpeg {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- ffmpeg\n{}", self.log());
        }
    }
}

/// Size of a PNG file's picture.
///
/// # Panics
/// It is no PNG.
pub fn png_size(path: &Path) -> (u32, u32) {
    let bytes = std::fs::read(path).expect("the picture");
    assert_eq!(&bytes[1..4], b"PNG");
    let number = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
    (number(16), number(20))
}
