//! How long an answer may be kept, by browsers and by CDNs.

use std::borrow::Cow;

/// What an answer is, as far as caches care.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CacheClass {
    /// A media or an init segment: one URL, one content, for ever.
    Immutable,
    /// A playlist that has ended. Shorter than the grace after which marked segments are deleted.
    Finished,
    /// A playlist that grows or slides.
    Growing {
        /// Half a target duration, in milliseconds.
        max_age_ms: u32,
    },
    /// Depends on when it was asked, or on who asked.
    NoStore,
    /// An error that may be over soon.
    Error,
}

impl CacheClass {
    /// Value for `Cache-Control` (RFC 9111 5.2).
    pub fn header_value(&self) -> Cow<'static, str> {
        match *self {
            CacheClass::Immutable => "public, max-age=31536000, immutable".into(),
            CacheClass::Finished => "public, max-age=3600".into(),
            CacheClass::Growing { max_age_ms } => format!("public, max-age={}", (max_age_ms / 1000).max(1)).into(),
            CacheClass::NoStore => "no-store".into(),
            CacheClass::Error => "public, max-age=1".into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_values() {
        for (class, value) in [
            (CacheClass::Immutable, "public, max-age=31536000, immutable"),
            (CacheClass::Finished, "public, max-age=3600"),
            (CacheClass::Growing { max_age_ms: 6500 }, "public, max-age=6"),
            (CacheClass::Growing { max_age_ms: 0 }, "public, max-age=1"),
            (CacheClass::NoStore, "no-store"),
            (CacheClass::Error, "public, max-age=1"),
        ] {
            assert_eq!(class.header_value(), value);
        }
    }
}
