//! Body of the fuzz target `http`: a plain function that asserts what must hold for any input.
//! The crate's tests run it over its corpus.

use crate::{SetCookie, Target, cookies, last_part, render};

/// Any bytes as path, cookie header, template and cookie.
#[doc(hidden)]
pub fn http(data: &[u8]) {
    if let Ok(target) =
        std::str::from_utf8(data).map(Target::parse).unwrap_or(Err(crate::TargetError::NotUtf8))
    {
        let parts = target.app.split('/').skip(1).chain(target.name.as_deref());
        for part in parts {
            assert!(!matches!(part, "" | "." | ".."), "{target:?}");
            assert!(!part.contains(['/', '\\', '\0']), "{target:?}");
        }
        let again = Target::parse(&target.folder_url()).expect("an own link is right");
        assert_eq!(again.folder_url(), target.folder_url());
        assert!(!target.folder_url().starts_with("//"));
    }
    if let Ok(Some(name)) = last_part(data) {
        assert!(!name.contains(['/', '\\', '\0']) && !matches!(name, "." | ".."));
    }
    for (name, value) in cookies(data) {
        assert!(!name.is_empty() && name.len() + value.len() <= data.len());
    }
    assert!(render(data, |_| None).len() <= data.len());
    let (name, value) = data.split_at(data.len() / 2);
    let cookie = SetCookie { name, value, path: Some(value), ..SetCookie::default() };
    if let Ok(header) = cookie.header(0) {
        assert!(!header.iter().any(u8::is_ascii_control));
        assert_eq!(header.split(|byte| *byte == b';').count(), 1 + usize::from(!value.is_empty()));
    }
}
