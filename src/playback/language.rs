//! Names of languages: from the three letters that broadcasts carry to what players show.

/// A language as HLS wants it.
pub struct Language {
    /// BCP 47: two letters where there are any (RFC 5646 2.2.1), else as given.
    pub tag: String,
    /// For people.
    pub name: String,
}

/// ISO 639-2/T, ISO 639-2/B where it differs, ISO 639-1, name in the language itself.
const LANGUAGES: &[(&str, &str, &str, &str)] = &[
    ("ara", "", "ar", "العربية"),
    ("aze", "", "az", "Azərbaycanca"),
    ("bel", "", "be", "Беларуская"),
    ("bos", "", "bs", "Bosanski"),
    ("bul", "", "bg", "Български"),
    ("cat", "", "ca", "Català"),
    ("ces", "cze", "cs", "Čeština"),
    ("cym", "wel", "cy", "Cymraeg"),
    ("dan", "", "da", "Dansk"),
    ("deu", "ger", "de", "Deutsch"),
    ("ell", "gre", "el", "Ελληνικά"),
    ("eng", "", "en", "English"),
    ("est", "", "et", "Eesti"),
    ("eus", "baq", "eu", "Euskara"),
    ("fas", "per", "fa", "فارسی"),
    ("fin", "", "fi", "Suomi"),
    ("fra", "fre", "fr", "Français"),
    ("gle", "", "ga", "Gaeilge"),
    ("glg", "", "gl", "Galego"),
    ("heb", "", "he", "עברית"),
    ("hin", "", "hi", "हिन्दी"),
    ("hrv", "", "hr", "Hrvatski"),
    ("hun", "", "hu", "Magyar"),
    ("hye", "arm", "hy", "Հայերեն"),
    ("ind", "", "id", "Indonesia"),
    ("isl", "ice", "is", "Íslenska"),
    ("ita", "", "it", "Italiano"),
    ("jpn", "", "ja", "日本語"),
    ("kat", "geo", "ka", "ქართული"),
    ("kaz", "", "kk", "Қазақ тілі"),
    ("kor", "", "ko", "한국어"),
    ("lav", "", "lv", "Latviešu"),
    ("lit", "", "lt", "Lietuvių"),
    ("mkd", "mac", "mk", "Македонски"),
    ("msa", "may", "ms", "Melayu"),
    ("nld", "dut", "nl", "Nederlands"),
    ("nor", "", "no", "Norsk"),
    ("pol", "", "pl", "Polski"),
    ("por", "", "pt", "Português"),
    ("ron", "rum", "ro", "Română"),
    ("rus", "", "ru", "Русский"),
    ("slk", "slo", "sk", "Slovenčina"),
    ("slv", "", "sl", "Slovenščina"),
    ("spa", "", "es", "Español"),
    ("sqi", "alb", "sq", "Shqip"),
    ("srp", "", "sr", "Српски"),
    ("swe", "", "sv", "Svenska"),
    ("tha", "", "th", "ไทย"),
    ("tur", "", "tr", "Türkçe"),
    ("ukr", "", "uk", "Українська"),
    ("uzb", "", "uz", "Oʻzbek"),
    ("vie", "", "vi", "Tiếng Việt"),
    ("zho", "chi", "zh", "中文"),
];

/// Describes an ISO 639-2 code; `None` where it says nothing (`und`) or is no code at all.
pub fn describe(code: &str) -> Option<Language> {
    if code.len() != 3 || !code.bytes().all(|b| b.is_ascii_lowercase()) || code == "und" {
        return None;
    }
    let known = LANGUAGES.iter().find(|(t, b, ..)| *t == code || *b == code);
    Some(match known {
        Some((_, _, tag, name)) => Language { tag: (*tag).to_owned(), name: (*name).to_owned() },
        None => Language { tag: code.to_owned(), name: code.to_owned() },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_become_tags() {
        let tag = |code| describe(code).map(|l| l.tag);
        assert_eq!(tag("deu").as_deref(), Some("de"));
        assert_eq!(tag("ger").as_deref(), Some("de"));
        assert_eq!(tag("qaa").as_deref(), Some("qaa"));
        for none in ["und", "", "EN", "e\"n", "english"] {
            assert_eq!(tag(none), None, "{none:?}");
        }
    }
}
