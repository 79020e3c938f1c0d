//! Pieces of playlist text: numbers, decimals, dates, quoted strings, URIs.
//!
//! Comes in: integers and strings from anywhere. Goes out: text that cannot break a line or a quote.

use crate::media::UtcUs;
use crate::media::segment::civil_hour;

/// Appends an integer.
pub fn push_int(out: &mut String, value: impl itoa::Integer) {
    out.push_str(itoa::Buffer::new().format(value));
}

/// Appends `value` (below 10^`digits`) with leading zeros.
fn push_padded(out: &mut String, value: u64, digits: usize) {
    let mut buffer = itoa::Buffer::new();
    let text = buffer.format(value);
    out.extend(std::iter::repeat_n('0', digits.saturating_sub(text.len())));
    out.push_str(text);
}

/// Appends microseconds as seconds with six decimals (decimal-floating-point, RFC 8216 4.2).
pub fn push_seconds(out: &mut String, us: i64) {
    if us < 0 {
        out.push('-');
    }
    let us = us.unsigned_abs();
    push_int(out, us / 1_000_000);
    out.push('.');
    push_padded(out, us % 1_000_000, 6);
}

/// Appends thousandths with three decimals.
pub fn push_thousandths(out: &mut String, value: u32) {
    push_int(out, value / 1000);
    out.push('.');
    push_padded(out, u64::from(value % 1000), 3);
}

/// Appends a quoted-string (RFC 8216 4.2): no quote, line break or control character gets in.
pub fn push_quoted(out: &mut String, text: &str) {
    out.push('"');
    out.extend(text.chars().map(|c| match c {
        '"' => '\'',
        c if c.is_control() || c == '\u{2028}' || c == '\u{2029}' => ' ',
        c => c,
    }));
    out.push('"');
}

/// Appends a URI, escaping every byte that RFC 3986 does not allow in one.
pub fn push_uri(out: &mut String, uri: &str) {
    if uri.bytes().all(is_uri_byte) {
        out.push_str(uri);
        return;
    }
    for byte in uri.bytes() {
        if is_uri_byte(byte) {
            out.push(char::from(byte));
        } else {
            const HEX: &[u8; 16] = b"0123456789ABCDEF";
            out.push('%');
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
}

const fn is_uri_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'-' | b'.'
                | b'_'
                | b'~'
                | b':'
                | b'/'
                | b'?'
                | b'['
                | b']'
                | b'@'
                | b'!'
                | b'$'
                | b'&'
                | b'\''
                | b'('
                | b')'
                | b'*'
                | b'+'
                | b','
                | b';'
                | b'='
                | b'%'
        )
}

/// Prints dates of ISO 8601 in milliseconds, keeping the part up to the hour, which seldom changes.
#[derive(Default)]
pub struct DateText {
    hour: Option<i64>,
    head: String,
}

impl DateText {
    /// Appends `2026-11-22T10:00:00.000Z`; false, and nothing, outside the years 1970 to 9999.
    pub fn push(&mut self, out: &mut String, at: UtcUs) -> bool {
        let millis = at.millis();
        let hour = millis.div_euclid(3_600_000);
        if self.hour != Some(hour) {
            let Some((year, month, day, hour_of_day)) = civil_hour(at) else { return false };
            self.head = format!("{year:04}-{month:02}-{day:02}T{hour_of_day:02}:");
            self.hour = Some(hour);
        }
        let in_hour = millis.rem_euclid(3_600_000).unsigned_abs();
        out.push_str(&self.head);
        push_padded(out, in_hour / 60_000, 2);
        out.push(':');
        push_padded(out, in_hour / 1000 % 60, 2);
        out.push('.');
        push_padded(out, in_hour % 1000, 3);
        out.push('Z');
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn seconds_are_exact_decimals() {
        for (us, text) in [(0, "0.000000"), (6_006_000, "6.006000"), (1, "0.000001"), (-1_500_000, "-1.500000")] {
            let mut out = String::new();
            push_seconds(&mut out, us);
            assert_eq!(out, text);
        }
    }

    proptest! {
        #[test]
        fn dates_agree_with_jiff(moments in proptest::collection::vec(0i64..253_402_300_799_999, 1..5)) {
            let mut dates = DateText::default();
            for millis in moments {
                for millis in [millis, (millis + 1).min(253_402_300_799_999)] {
                    let mut out = String::new();
                    prop_assert!(dates.push(&mut out, UtcUs::from_millis(millis)));
                    if let Ok(stamp) = jiff::Timestamp::from_millisecond(millis) {
                        prop_assert_eq!(out, format!("{stamp:.3}"));
                    }
                }
            }
        }

        #[test]
        fn nothing_breaks_out_of_a_string_or_a_uri(text in any::<String>()) {
            let mut quoted = String::new();
            push_quoted(&mut quoted, &text);
            prop_assert_eq!(quoted.matches('"').count(), 2);
            prop_assert!(!quoted.chars().any(char::is_control));
            let mut uri = String::new();
            push_uri(&mut uri, &text);
            prop_assert!(uri.bytes().all(is_uri_byte));
        }
    }

    #[test]
    fn dates_outside_the_calendar_are_left_out() {
        let mut out = String::new();
        assert!(!DateText::default().push(&mut out, UtcUs(-1)));
        assert!(!DateText::default().push(&mut out, UtcUs(i64::MAX)));
        assert_eq!(out, "");
    }
}
