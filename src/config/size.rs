//! Sizes as people write them: `500GB`, `1.5 TiB`, `1000000`.

/// What is said of a text that is no size.
const WANTED: &str = "write a size such as \"500GB\" (1000s) or \"2TiB\" (1024s)";

/// A number of bytes from 1 to 2^60: a whole or decimal number, then `B`, `kB`, `MB`, `GB`, `TB`, `PB` (powers of 1000) or
/// `KiB`, `MiB`, `GiB`, `TiB`, `PiB` (powers of 1024), in any case; without a unit, bytes.
pub(super) fn parse(text: &str) -> Option<u64> {
    let text = text.trim();
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let factor: u128 = match unit.trim_start().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kb" | "k" => 1000,
        "mb" | "m" => 1000 * 1000,
        "gb" | "g" => 1000 * 1000 * 1000,
        "tb" | "t" => 1000 * 1000 * 1000 * 1000,
        "pb" => 1000 * 1000 * 1000 * 1000 * 1000,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        "tib" => 1 << 40,
        "pib" => 1 << 50,
        _ => return None,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || whole.len() > 19 || fraction.len() > 9 || number.ends_with('.') {
        return None;
    }
    let fraction_of = 10u128.pow(fraction.len() as u32);
    let fraction: u128 = if fraction.is_empty() { 0 } else { fraction.parse().ok()? };
    let bytes = whole.parse::<u128>().ok()? * factor + fraction * factor / fraction_of;
    u64::try_from(bytes).ok().filter(|b| (1..=1 << 60).contains(b))
}

/// For serde: an optional size, written as bytes.
pub(super) mod optional {
    use serde::de::{Error, Visitor};
    use std::fmt;

    pub fn serialize<S: serde::Serializer>(value: &Option<u64>, s: S) -> Result<S::Ok, S::Error> {
        match value {
            Some(bytes) => s.serialize_u64(*bytes),
            None => s.serialize_none(),
        }
    }

    pub fn deserialize<'de, D: serde::Deserializer<'de>>(d: D) -> Result<Option<u64>, D::Error> {
        d.deserialize_any(Size).map(Some)
    }

    struct Size;

    impl Visitor<'_> for Size {
        type Value = u64;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a size such as \"500GB\"")
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<u64, E> {
            super::parse(text).ok_or_else(|| E::custom(super::WANTED))
        }

        fn visit_i64<E: Error>(self, bytes: i64) -> Result<u64, E> {
            self.visit_str(&bytes.to_string())
        }

        fn visit_u64<E: Error>(self, bytes: u64) -> Result<u64, E> {
            self.visit_str(&bytes.to_string())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn sizes_as_people_write_them() {
        for (text, bytes) in [
            ("500GB", 500_000_000_000),
            ("1.5 TiB", 3 << 39),
            (" 12 kB ", 12_000),
            ("1", 1),
            ("1PiB", 1 << 50),
            ("0.5KiB", 512),
            ("20000000", 20_000_000),
            ("2t", 2_000_000_000_000),
        ] {
            assert_eq!(parse(text), Some(bytes), "{text}");
        }
        for bad in
            ["", "GB", "-5GB", "5 G B", "0", "0GB", "1.GB", ".5GB", "1.2.3MB", "5XB", "9999999999PB", "1e9", "５GB"]
        {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
