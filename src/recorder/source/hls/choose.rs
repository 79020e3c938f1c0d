//! Which variant and which renditions of a multivariant playlist are recorded.

use super::playlist::{AudioMedia, Multivariant, Variant};

/// Most audio renditions that are recorded beside the variant.
const MAX_AUDIO: usize = 16;

/// What to record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Choice {
    pub(super) variant: Variant,
    /// Audio renditions with a playlist of their own.
    pub(super) audio: Vec<AudioMedia>,
    /// Language of the audio inside the variant, if the playlist says.
    pub(super) language: Option<String>,
}

/// Chooses the best variant: of those whose codecs are carried the one with most pixels, then most bits. Of several
/// that are equally good (redundant servers) the `attempt`th in turn.
pub(super) fn choose(multivariant: &Multivariant, attempt: usize) -> Option<Choice> {
    let rank = |v: &Variant| (is_carried(v.codecs.as_deref()), v.pixels, v.bandwidth);
    let best = multivariant.variants.iter().map(rank).max()?;
    let equals: Vec<&Variant> = multivariant.variants.iter().filter(|v| rank(v) == best).collect();
    let variant = (*equals.get(attempt % equals.len().max(1))?).clone();
    let group: Vec<&AudioMedia> = multivariant
        .audio
        .iter()
        .filter(|media| variant.audio_group.as_deref() == Some(media.group.as_str()))
        .collect();
    let mut audio: Vec<AudioMedia> = Vec::new();
    for media in &group {
        let twice = audio.iter().any(|a| a.uri == media.uri) || media.uri.as_deref() == Some(variant.uri.as_str());
        if media.uri.is_some() && !twice && audio.len() < MAX_AUDIO {
            audio.push((*media).clone());
        }
    }
    let mut inside = group.iter().filter(|m| m.uri.is_none() || m.uri.as_deref() == Some(variant.uri.as_str()));
    let language = match (inside.next(), inside.next()) {
        (Some(only), None) => only.language.clone(),
        _ => None,
    };
    Some(Choice { variant, audio, language })
}

/// Whether everything in CODECS (RFC 6381) is recorded. A variant that says nothing is given a chance.
fn is_carried(codecs: Option<&str>) -> bool {
    let carried = |codec: &str| {
        let lower = codec.trim().to_ascii_lowercase();
        let kind = lower.split('.').next().unwrap_or("");
        matches!(kind, "avc1" | "avc3" | "hvc1" | "hev1" | "mp4a" | "ac-3" | "ec-3" | "mp3" | "mp2v" | "mp4v" | "")
    };
    codecs.is_none_or(|list| list.split(',').all(carried))
}

/// ISO 639-2/T for a language tag (RFC 5646): `de-AT` becomes `deu`. `None` when it is none that is known.
pub(super) fn language_code(tag: &str) -> Option<String> {
    let primary = tag.split(['-', '_']).next()?.to_ascii_lowercase();
    if !primary.bytes().all(|b| b.is_ascii_lowercase()) {
        return None;
    }
    match primary.len() {
        3 if primary != "und" => Some(primary),
        2 => {
            // Entries of six letters: two, three, and a space.
            let at = LANGUAGES.as_bytes().chunks(6).find(|entry| entry.starts_with(primary.as_bytes()))?;
            std::str::from_utf8(at.get(2..5)?).ok().map(str::to_owned)
        }
        _ => None,
    }
}

/// ISO 639-1 and ISO 639-2/T.
const LANGUAGES: &str = "aaaar ababk aeave afafr akaka amamh anarg arara asasm avava ayaym azaze babak bebel \
bgbul bhbih bibis bmbam bnben bobod brbre bsbos cacat ceche chcha cocos crcre csces cuchu cvchv cycym dadan dedeu \
dvdiv dzdzo eeewe elell eneng eoepo esspa etest eueus fafas ffful fifin fjfij fofao frfra fyfry gagle gdgla glglg \
gngrn guguj gvglv hahau heheb hihin hohmo hrhrv hthat huhun hyhye hzher iaina idind ieile igibo iiiii ikipk ioido \
isisl itita iuiku jajpn jvjav kakat kgkon kikik kjkua kkkaz klkal kmkhm knkan kokor krkau kskas kukur kvkom kwcor \
kykir lalat lbltz lglug lilim lnlin lolao ltlit lulub lvlav mgmlg mhmah mimri mkmkd mlmal mnmon mrmar msmsa mtmlt \
mymya nanau nbnob ndnde nenep ngndo nlnld nnnno nonor nrnbl nvnav nynya ococi ojoji omorm orori ososs papan pipli \
plpol pspus ptpor quque rmroh rnrun roron rurus rwkin sasan scsrd sdsnd sesme sgsag sisin skslk slslv smsmo snsna \
sosom sqsqi srsrp ssssw stsot susun svswe swswa tatam tetel tgtgk ththa titir tktuk tltgl tntsn toton trtur tstso \
tttat twtwi tytah uguig ukukr ururd uzuzb veven vivie vovol wawln wowol xhxho yiyid yoyor zazha zhzho zuzul ";

#[cfg(test)]
mod tests {
    use super::*;

    fn variant(uri: &str, pixels: u64, bandwidth: u64, codecs: Option<&str>) -> Variant {
        Variant { uri: uri.into(), bandwidth, codecs: codecs.map(Into::into), pixels, audio_group: Some("a".into()) }
    }

    fn audio(group: &str, name: &str, uri: Option<&str>) -> AudioMedia {
        AudioMedia { group: group.into(), name: name.into(), language: Some("en".into()), uri: uri.map(Into::into) }
    }

    #[test]
    fn the_best_that_is_carried_with_its_audio() {
        let multivariant = Multivariant {
            variants: vec![
                variant("av1", 9999, 9000, Some("av01.0.08M.08,mp4a.40.2")),
                variant("low", 100, 5000, Some("avc1.4d401e,mp4a.40.2")),
                variant("mid", 400, 3000, None),
                variant("high", 400, 4000, Some("hvc1.1.6.L93.B0, ec-3")),
                variant("high2", 400, 4000, Some("hvc1.1.6.L93.B0, ec-3")),
            ],
            audio: vec![audio("a", "1", Some("1")), audio("b", "2", Some("2")), audio("a", "3", None)],
        };
        let choice = choose(&multivariant, 0).unwrap();
        assert_eq!(choice.variant.uri, "high");
        assert_eq!(choice.audio.len(), 1);
        assert_eq!(choice.language.as_deref(), Some("en"));
        assert_eq!(choose(&multivariant, 1).unwrap().variant.uri, "high2");
        assert_eq!(choose(&multivariant, 2).unwrap().variant.uri, "high");
        assert_eq!(choose(&Multivariant::default(), 0), None);
    }

    #[test]
    fn nothing_carried_is_still_tried() {
        let only = Multivariant { variants: vec![variant("x", 1, 1, Some("vp09.00"))], audio: vec![] };
        assert_eq!(choose(&only, 0).unwrap().variant.uri, "x");
    }

    #[test]
    fn languages() {
        assert_eq!(LANGUAGES.len() % 6, 0);
        assert!(LANGUAGES.as_bytes().chunks(6).all(|c| c[5] == b' ' && c[..5].iter().all(u8::is_ascii_lowercase)));
        for (tag, code) in [
            ("de", Some("deu")),
            ("DE-at", Some("deu")),
            ("en_GB", Some("eng")),
            ("fra", Some("fra")),
            ("zu", Some("zul")),
            ("aa", Some("aar")),
        ] {
            assert_eq!(language_code(tag).as_deref(), code, "{tag}");
        }
        for none in ["", "und", "qq", "x", "é", "english"] {
            assert_eq!(language_code(none), None, "{none}");
        }
    }
}
