//! Dates as text: the proleptic Gregorian calendar in UTC, years 0 to 9999.

use std::io::Write;

use crate::error::WriteError;

const DAY_MS: i64 = 86_400_000;
/// 0000-01-01T00:00:00.000Z.
const FIRST_MS: i64 = -62_167_219_200_000;
/// 9999-12-31T23:59:59.999Z.
const LAST_MS: i64 = 253_402_300_799_999;

/// How a date is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// `1998-09-16T23:48:10.435Z` (JSON, CNV-06).
    Extended,
    /// `19980916T23:48:10`, `.435` after it unless it is zero (XML-RPC). The format has no time
    /// zone; UTC is meant.
    XmlRpc,
    /// `19980916T234810.435Z`: ISO 8601 basic (query).
    Basic,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Civil {
    year: i64,
    month: i64,
    day: i64,
    /// Within the day.
    ms: i64,
}

/// Appends a date, milliseconds since 1970 UTC, rounded to the nearest.
///
/// # Errors
/// [`WriteError::DateOutOfRange`].
pub(crate) fn write(out: &mut Vec<u8>, ms: f64, style: Style) -> Result<(), WriteError> {
    let ms = ms.round();
    // Also false for what is no number.
    if !(ms >= FIRST_MS as f64 && ms <= LAST_MS as f64) {
        return Err(WriteError::DateOutOfRange);
    }
    let Civil { year, month, day, ms } = civil(ms as i64);
    let (hour, minute, second, ms) =
        (ms / 3_600_000, ms / 60_000 % 60, ms / 1_000 % 60, ms % 1_000);
    // Writing to a vector cannot fail.
    let _ = match style {
        Style::Extended => {
            write!(out, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
        }
        Style::Basic => {
            write!(out, "{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}.{ms:03}Z")
        }
        Style::XmlRpc if ms == 0 => {
            write!(out, "{year:04}{month:02}{day:02}T{hour:02}:{minute:02}:{second:02}")
        }
        Style::XmlRpc => {
            write!(out, "{year:04}{month:02}{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}")
        }
    };
    Ok(())
}

/// The date of a text of exactly the form that [`Style::Extended`] writes (CNV-22).
pub(crate) fn read_exact(text: &[u8]) -> Option<f64> {
    // Most strings are none: their length says so.
    let [y @ .., b'Z'] = text else { return None };
    if y.len() != 23 {
        return None;
    }
    let mut rest = text;
    let civil = (digits(&mut rest, 4)?, eat(&mut rest, b"-")?, digits(&mut rest, 2)?);
    let (year, (), month) = civil;
    eat(&mut rest, b"-")?;
    let day = digits(&mut rest, 2)?;
    eat(&mut rest, b"T")?;
    let hour = digits(&mut rest, 2)?;
    eat(&mut rest, b":")?;
    let minute = digits(&mut rest, 2)?;
    eat(&mut rest, b":")?;
    let second = digits(&mut rest, 2)?;
    eat(&mut rest, b".")?;
    let ms = digits(&mut rest, 3)?;
    eat(&mut rest, b"Z")?;
    days(year, month, day)
        .and_then(|days| Some(days * DAY_MS + of_day(hour, minute, second, ms)?))
        .map(|ms| ms as f64)
}

/// The date of an XML-RPC text: `YYYYMMDDTHH:MM:SS`, dashes in the date and colons in the time
/// optional, then optionally a fraction, then optionally `Z` or an offset `±HH[:]MM`. Without
/// either it is UTC. Digits of the fraction beyond the third are dropped.
pub(crate) fn read_xmlrpc(text: &[u8]) -> Option<f64> {
    let mut rest = text.trim_ascii();
    let year = digits(&mut rest, 4)?;
    let _ = eat(&mut rest, b"-");
    let month = digits(&mut rest, 2)?;
    let _ = eat(&mut rest, b"-");
    let day = digits(&mut rest, 2)?;
    eat(&mut rest, b"T")?;
    let hour = digits(&mut rest, 2)?;
    let _ = eat(&mut rest, b":");
    let minute = digits(&mut rest, 2)?;
    let _ = eat(&mut rest, b":");
    let second = digits(&mut rest, 2)?;
    let mut ms = 0;
    if eat(&mut rest, b".").is_some() {
        let length = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (fraction, after) = rest.split_at(length);
        if !(1..=9).contains(&length) {
            return None;
        }
        rest = after;
        ms = (0..3).fold(0, |sum, at| {
            sum * 10 + fraction.get(at).map_or(0, |digit| i64::from(digit - b'0'))
        });
    }
    let mut offset_minutes = 0;
    if eat(&mut rest, b"Z").is_none() && !rest.is_empty() {
        let sign = if eat(&mut rest, b"+").is_some() {
            1
        } else {
            eat(&mut rest, b"-")?;
            -1
        };
        let hours = digits(&mut rest, 2)?;
        let _ = eat(&mut rest, b":");
        let minutes = digits(&mut rest, 2)?;
        if hours > 23 || minutes > 59 {
            return None;
        }
        offset_minutes = sign * (hours * 60 + minutes);
    }
    if !rest.is_empty() {
        return None;
    }
    let local = days(year, month, day)? * DAY_MS + of_day(hour, minute, second, ms)?;
    Some((local - offset_minutes * 60_000) as f64)
}

fn digits(rest: &mut &[u8], count: usize) -> Option<i64> {
    let (number, after) = rest.split_at_checked(count)?;
    let value = number.iter().try_fold(0, |sum, byte| {
        byte.is_ascii_digit().then(|| sum * 10 + i64::from(byte - b'0'))
    })?;
    *rest = after;
    Some(value)
}

fn eat(rest: &mut &[u8], what: &[u8]) -> Option<()> {
    *rest = rest.strip_prefix(what)?;
    Some(())
}

fn of_day(hour: i64, minute: i64, second: i64, ms: i64) -> Option<i64> {
    (hour < 24 && minute < 60 && second < 60)
        .then_some(((hour * 60 + minute) * 60 + second) * 1_000 + ms)
}

fn days_of_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01; `None` when there is no such day. Years run from March, so that the
/// leap day is the last of a year.
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    if !(1..=12).contains(&month) || !(1..=days_of_month(year, month)).contains(&day) {
        return None;
    }
    let year = if month <= 2 { year - 1 } else { year };
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    Some(
        year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + of_year
            - 719_468,
    )
}

fn civil(ms: i64) -> Civil {
    let (day, ms) = (ms.div_euclid(DAY_MS) + 719_468, ms.rem_euclid(DAY_MS));
    let (era, of_era) = (day.div_euclid(146_097), day.rem_euclid(146_097));
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    Civil { year: era * 400 + year + i64::from(month <= 2), month, day, ms }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{FIRST_MS, LAST_MS, Style, read_exact, read_xmlrpc, write};
    use crate::error::WriteError;

    fn text(ms: f64, style: Style) -> String {
        let mut out = Vec::new();
        write(&mut out, ms, style).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn cnv_06_dates_have_their_forms() {
        let ms = 905_989_690_435.0;
        assert_eq!(text(ms, Style::Extended), "1998-09-16T23:48:10.435Z");
        assert_eq!(text(ms, Style::XmlRpc), "19980916T23:48:10.435");
        assert_eq!(text(ms - 435.0, Style::XmlRpc), "19980916T23:48:10");
        assert_eq!(text(ms, Style::Basic), "19980916T234810.435Z");
        assert_eq!(text(-1.0, Style::Extended), "1969-12-31T23:59:59.999Z");
        assert_eq!(text(951_782_400_000.0, Style::Extended), "2000-02-29T00:00:00.000Z");
        assert_eq!(text(FIRST_MS as f64, Style::Extended), "0000-01-01T00:00:00.000Z");
        assert_eq!(text(LAST_MS as f64, Style::Extended), "9999-12-31T23:59:59.999Z");
    }

    #[test]
    fn dates_outside_of_four_digit_years_are_refused() {
        let mut out = Vec::new();
        let wrong = [f64::NAN, f64::INFINITY, -1e300, FIRST_MS as f64 - 1.0, LAST_MS as f64 + 1.0];
        for ms in wrong {
            assert_eq!(write(&mut out, ms, Style::Basic), Err(WriteError::DateOutOfRange));
        }
        assert_eq!(out, b"");
    }

    #[test]
    fn cnv_22_only_the_exact_form_is_a_date() {
        assert_eq!(read_exact(b"1998-09-16T23:48:10.435Z"), Some(905_989_690_435.0));
        for text in [
            "2014-01-01",
            "1998-09-16T23:48:10Z",
            "1998-09-16T23:48:10.435",
            "1998-09-16t23:48:10.435Z",
            "1998-09-16T23:48:10.4350Z",
            "1998-13-16T23:48:10.435Z",
            "1998-02-29T23:48:10.435Z",
            "1998-09-16T24:00:00.000Z",
            "1998-09-16T23:48:60.000Z",
            "+998-09-16T23:48:10.435Z",
            "1998-00-16T23:48:10.435Z",
            "1998-09-00T23:48:10.435Z",
        ] {
            assert_eq!(read_exact(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn xml_rpc_dates_may_have_a_zone_and_a_fraction() {
        let ms = Some(905_989_690_000.0);
        for text in [
            "19980916T23:48:10",
            " 19980916T23:48:10Z\n",
            "1998-09-16T23:48:10+00:00",
            "19980917T01:48:10+0200",
            "19980916T18:18:10-05:30",
            "19980916T234810.0",
            "19980916T23:48:10.0009",
        ] {
            assert_eq!(read_xmlrpc(text.as_bytes()), ms, "{text}");
        }
        for text in [
            "",
            "x",
            "19980916",
            "19980916T23:48",
            "19980916T23:48:10.",
            "19980916T25:00:00",
            "19980916T23:48:10+24:00",
            "19980916T23:48:10ZZ",
            "19980916T23:48:10.0123456789",
        ] {
            assert_eq!(read_xmlrpc(text.as_bytes()), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn cnv_06_every_date_reads_back(ms in FIRST_MS..=LAST_MS) {
            let ms = ms as f64;
            prop_assert_eq!(read_exact(text(ms, Style::Extended).as_bytes()), Some(ms));
            prop_assert_eq!(read_xmlrpc(text(ms, Style::Extended).as_bytes()), Some(ms));
            prop_assert_eq!(read_xmlrpc(text(ms, Style::XmlRpc).as_bytes()), Some(ms));
            prop_assert_eq!(read_xmlrpc(text(ms, Style::Basic).as_bytes()), Some(ms));
        }

        #[test]
        fn any_text_may_be_asked_for_a_date(text: Vec<u8>) {
            let _ = read_xmlrpc(&text);
            if let Some(ms) = read_exact(&text) {
                prop_assert_eq!(self::text(ms, Style::Extended).into_bytes(), text);
            }
        }
    }
}
