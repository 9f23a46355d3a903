//! A real browser: pages in headless Chromium, driven over its debugging pipe.
//!
//! Commands and answers are JSON with a zero byte behind each (Chrome DevTools Protocol), on file
//! descriptors 3 and 4, which a shell takes from the standard streams of the child.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::wait;

const OPTIONS: &[&str] = &[
    "--headless",
    "--remote-debugging-pipe",
    "--disable-gpu",
    // Nodes of tests have certificates of their own making.
    "--ignore-certificate-errors",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--mute-audio",
    "--autoplay-policy=no-user-gesture-required",
    "--window-size=1100,900",
];

/// A running browser with a profile of its own; ended when dropped.
#[derive(Debug)]
pub struct Browser {
    child: Child,
    commands: Mutex<ChildStdin>,
    heard: Arc<Mutex<Heard>>,
    next: AtomicU64,
    _profile: TempDir,
}

/// What the browser said.
#[derive(Debug, Default)]
struct Heard {
    answers: HashMap<u64, Value>,
    /// Console lines and errors of pages.
    lines: Vec<String>,
    is_gone: bool,
}

/// A tab.
#[derive(Debug)]
pub struct Page<'a> {
    browser: &'a Browser,
    session: String,
}

impl Browser {
    /// Starts it.
    ///
    /// # Panics
    /// There is no `chromium`.
    pub fn start() -> Self {
        let profile = tempfile::tempdir().expect("a folder for the profile");
        let mut command = Command::new("sh");
        command.args(["-c", "exec chromium \"$@\" 3<&0 4>&1 >/dev/null", "sh"]).args(OPTIONS);
        command.arg(format!("--user-data-dir={}", profile.path().display()));
        if rustix::process::geteuid().is_root() {
            command.arg("--no-sandbox");
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("chromium starts");
        let commands = Mutex::new(child.stdin.take().expect("its standard input"));
        let answers = child.stdout.take().expect("its standard output");
        let heard = Arc::new(Mutex::new(Heard::default()));
        let kept = heard.clone();
        std::thread::spawn(move || {
            for message in BufReader::new(answers).split(0).map_while(Result::ok) {
                hear(&kept, &message);
            }
            lock(&kept).is_gone = true;
        });
        Self { child, commands, heard, next: AtomicU64::new(1), _profile: profile }
    }

    async fn ask(&self, session: Option<&str>, method: &str, params: Value) -> Value {
        let id = self.next.fetch_add(1, Relaxed);
        let mut command = json!({ "id": id, "method": method, "params": params });
        if let Some(session) = session {
            command["sessionId"] = session.into();
        }
        let mut bytes = command.to_string().into_bytes();
        bytes.push(0);
        let sent = lock(&self.commands).write_all(&bytes);
        sent.expect("chromium takes commands");
        let mut answer = wait::until_some(&format!("chromium: {method}"), || {
            let mut heard = lock(&self.heard);
            let answer = heard.answers.remove(&id);
            assert!(answer.is_some() || !heard.is_gone, "chromium ended");
            answer
        })
        .await;
        assert!(answer.get("error").is_none(), "{method}: {answer}");
        answer["result"].take()
    }

    /// A tab at this address; it may still be loading.
    ///
    /// # Panics
    /// The browser does not answer.
    pub async fn open(&self, url: &str) -> Page<'_> {
        let target = self.ask(None, "Target.createTarget", json!({ "url": "about:blank" })).await;
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let attached = self.ask(None, "Target.attachToTarget", attach).await;
        let session = attached["sessionId"].as_str().expect("a session").to_owned();
        let page = Page { browser: self, session };
        for domain in ["Page", "Runtime", "Log"] {
            page.ask(&format!("{domain}.enable"), json!({})).await;
        }
        page.go(url).await;
        page
    }

    /// What pages wrote to the console, and errors that nobody caught.
    pub fn lines(&self) -> Vec<String> {
        lock(&self.heard).lines.clone()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Page<'_> {
    async fn ask(&self, method: &str, params: Value) -> Value {
        self.browser.ask(Some(&self.session), method, params).await
    }

    /// Goes to another address.
    ///
    /// # Panics
    /// Nobody answers there.
    pub async fn go(&self, url: &str) {
        let answer = self.ask("Page.navigate", json!({ "url": url })).await;
        assert!(answer.get("errorText").is_none(), "{url}: {answer}");
    }

    /// The value of an expression of JavaScript; promises are awaited.
    ///
    /// # Errors
    /// The exception it threw.
    pub async fn eval(&self, expression: &str) -> Result<Value, String> {
        let params =
            json!({ "expression": expression, "awaitPromise": true, "returnByValue": true });
        let mut answer = self.ask("Runtime.evaluate", params).await;
        match answer.get("exceptionDetails") {
            Some(details) => Err(details.to_string()),
            None => Ok(answer["result"]["value"].take()),
        }
    }

    /// Waits until an expression is true in JavaScript's sense.
    ///
    /// # Panics
    /// After [`wait::PATIENCE`], with the text of the page and its console.
    pub async fn until(&self, expression: &str) {
        let begin = std::time::Instant::now();
        loop {
            // While a page loads, what the expression names may not be there.
            let value = self.eval(&format!("!!({expression})")).await;
            if value == Ok(Value::Bool(true)) {
                return;
            }
            if begin.elapsed() > wait::PATIENCE {
                let text = self.text().await;
                panic!("{expression}: {value:?}, in:\n{text}\n{:#?}", self.browser.lines());
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }

    /// The text that is shown.
    pub async fn text(&self) -> String {
        let text = self.eval("document.body ? document.body.innerText : ''").await;
        text.ok().and_then(|text| text.as_str().map(str::to_owned)).unwrap_or_default()
    }

    /// Waits until the page shows a text.
    ///
    /// # Panics
    /// As [`until`](Self::until).
    pub async fn shows(&self, text: &str) {
        self.until(&format!("document.body.innerText.includes({})", json!(text))).await;
    }

    /// Shows the page as in a window of this width and height.
    pub async fn resize(&self, width: u32, height: u32) {
        let screen =
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.ask("Emulation.setDeviceMetricsOverride", screen).await;
    }

    /// A picture of what is shown, as a PNG file in base64.
    pub async fn screenshot(&self) -> String {
        let answer = self.ask("Page.captureScreenshot", json!({ "format": "png" })).await;
        answer["data"].as_str().unwrap_or_default().to_owned()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Keeps an answer, or a line of a page's console.
fn hear(heard: &Mutex<Heard>, message: &[u8]) {
    let Ok(mut message) = serde_json::from_slice::<Value>(message) else { return };
    let mut heard = lock(heard);
    if let Some(id) = message["id"].as_u64() {
        heard.answers.insert(id, message);
        return;
    }
    let what = match message["method"].as_str() {
        Some("Runtime.exceptionThrown") => "exceptionDetails",
        Some("Log.entryAdded") => "entry",
        Some("Runtime.consoleAPICalled") => "args",
        _ => return,
    };
    let line = message["params"][what].take().to_string();
    heard.lines.push(line);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_page_is_opened_used_and_read() {
        let browser = Browser::start();
        let html = "data:text/html,<p>before</p><script>console.log('a line')</script>";
        let page = browser.open(html).await;
        page.shows("before").await;
        let promise = "new Promise(done => setTimeout(() => done({ sum: 1 + 2 }), 10))";
        assert_eq!(page.eval(promise).await, Ok(json!({ "sum": 3 })));
        page.eval("document.querySelector('p').textContent = 'after'").await.expect("no error");
        page.shows("after").await;
        assert!(page.eval("nothing.there").await.is_err());
        assert!(
            browser.lines().iter().any(|line| line.contains("a line")),
            "{:?}",
            browser.lines()
        );
        assert!(page.screenshot().await.starts_with("iVBOR"), "a PNG file");
    }
}
