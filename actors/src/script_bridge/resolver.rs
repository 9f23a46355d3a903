//! Host names for scripts (MON-27, MON-28): looked up on threads of their own, so that a slow name
//! server holds up nobody for long.

use std::collections::HashMap;
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A script, and with it every other client, waits this long for a name; what is found later is
/// there the next time.
const WAIT: Duration = Duration::from_millis(200);

/// What was found counts this long, and what was not.
const KNOWN_FOR: Duration = Duration::from_secs(60);
const UNKNOWN_FOR: Duration = Duration::from_secs(5);

/// Names that are remembered; beyond, all are forgotten.
const MAX_NAMES: usize = 1_024;

/// Names that are looked up at one time, each on a thread; further ones are refused.
const MAX_OPEN: usize = 8;

type Found = Result<IpAddr, String>;

/// Looks names up.
#[derive(Debug, Default)]
pub(super) struct Resolver {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    names: Mutex<Names>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Names {
    known: HashMap<String, (Found, Instant)>,
    open: Vec<String>,
}

impl Names {
    fn get(&mut self, name: &str) -> Option<Found> {
        let (found, until) = self.known.get(name)?;
        if *until <= Instant::now() {
            self.known.remove(name);
            return None;
        }
        Some(found.clone())
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Names> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Resolver {
    /// The first address of a name.
    pub(super) fn resolve(&self, name: &str) -> Found {
        self.resolve_with(name, |name| {
            let mut found = (name, 0).to_socket_addrs().map_err(|error| error.to_string())?;
            found.next().map(|socket| socket.ip()).ok_or_else(|| "no address".to_owned())
        })
    }

    fn resolve_with(
        &self,
        name: &str,
        look_up: impl FnOnce(&str) -> Found + Send + 'static,
    ) -> Found {
        let mut names = self.shared.lock();
        if let Some(found) = names.get(name) {
            return found;
        }
        if !names.open.iter().any(|open| open == name) {
            if names.open.len() >= MAX_OPEN {
                return Err("too many names are looked up at this time, try again".to_owned());
            }
            let (shared, own) = (self.shared.clone(), name.to_owned());
            let thread = std::thread::Builder::new().name("ramona-names".to_owned());
            let started = thread.spawn(move || {
                let found = look_up(&own);
                let lasts = if found.is_ok() { KNOWN_FOR } else { UNKNOWN_FOR };
                let mut names = shared.lock();
                if names.known.len() >= MAX_NAMES {
                    names.known.clear();
                }
                names.open.retain(|open| *open != own);
                names.known.insert(own, (found, Instant::now() + lasts));
                drop(names);
                shared.changed.notify_all();
            });
            if let Err(error) = started {
                return Err(error.to_string());
            }
            names.open.push(name.to_owned());
        }
        let until = Instant::now() + WAIT;
        loop {
            if let Some(found) = names.get(name) {
                return found;
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err("not known yet, try again".to_owned());
            }
            let waited = self.shared.changed.wait_timeout(names, left);
            names = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};
    use std::sync::mpsc;
    use std::time::{Duration, Instant};

    use super::{MAX_OPEN, Resolver};

    const IP: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));

    #[test]
    fn mon_27_a_slow_name_is_an_error_now_and_known_the_next_time() {
        let resolver = Resolver::default();
        let (answer, asked) = mpsc::sync_channel(1);
        let found = resolver.resolve_with("slow", move |_| {
            asked.recv().map_err(|error| error.to_string())?;
            Ok(IP)
        });
        assert_eq!(found, Err("not known yet, try again".to_owned()));
        answer.send(()).unwrap();
        let until = Instant::now() + Duration::from_secs(30);
        // It is open already: no second look-up starts.
        while resolver.resolve_with("slow", |_| Err("asked twice".to_owned())) != Ok(IP) {
            assert!(Instant::now() < until);
        }
    }

    #[test]
    fn mon_27_names_are_remembered_and_few_are_looked_up_at_one_time() {
        let resolver = Resolver::default();
        assert_eq!(resolver.resolve_with("a", |_| Ok(IP)), Ok(IP));
        assert_eq!(resolver.resolve_with("a", |_| Err("asked twice".to_owned())), Ok(IP));
        let none = Err("nobody".to_owned());
        assert_eq!(resolver.resolve_with("b", |_| Err("nobody".to_owned())), none);
        let mut answers = Vec::new();
        for number in 0..MAX_OPEN {
            let (answer, asked) = mpsc::sync_channel::<()>(1);
            let _ = resolver.resolve_with(&number.to_string(), move |_| {
                let _ = asked.recv();
                Ok(IP)
            });
            answers.push(answer);
        }
        let refused = resolver.resolve_with("more", |_| Ok(IP)).unwrap_err();
        assert!(refused.contains("too many"), "{refused}");
        assert_eq!(resolver.resolve("127.0.0.1"), resolver.resolve("127.0.0.1"));
    }
}
