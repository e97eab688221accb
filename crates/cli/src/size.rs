//! Times and amounts, as people read them.

/// Seconds.
pub(crate) fn seconds(seconds: f64) -> String {
    match seconds {
        s if s < 1e-3 => format!("{:.0} µs", s * 1e6),
        s if s < 1.0 => format!("{:.1} ms", s * 1e3),
        s if s < 120.0 => format!("{s:.2} s"),
        s => format!("{} min {} s", (s / 60.0).floor(), (s % 60.0).floor()),
    }
}

/// Bytes.
pub(crate) fn bytes(bytes: u64) -> String {
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64;
    let mut unit = "B";
    for larger in ["KiB", "MiB", "GiB", "TiB"] {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        unit = larger;
    }
    format!("{value:.1} {unit}")
}

/// Bytes as people write them: `500M`, `2 GiB`, `1048576`.
pub(crate) fn parse(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let unit = text[end..].trim().to_ascii_uppercase();
    let power = match unit.trim_end_matches('B').trim_end_matches('I') {
        "" => 0,
        "K" => 1,
        "M" => 2,
        "G" => 3,
        "T" => 4,
        _ => return Err(format!("{unit:?} is no unit; give bytes, or a number with K, M, G or T")),
    };
    let number: f64 = text[..end].parse().map_err(|_| "give a size such as 500M or 2G".to_owned())?;
    Ok((number * 1024f64.powi(power)) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_for_people() {
        assert_eq!(seconds(0.000_004), "4 µs");
        assert_eq!(seconds(0.25), "250.0 ms");
        assert_eq!(seconds(1.5), "1.50 s");
        assert_eq!(seconds(125.0), "2 min 5 s");
        assert_eq!(bytes(512), "512 B");
        assert_eq!(bytes(1536), "1.5 KiB");
    }

    #[test]
    fn sizes_are_read() {
        for (text, expected) in [("7", 7), ("1k", 1024), ("1.5 KiB", 1536), ("2GB", 2 << 30), ("0", 0)] {
            assert_eq!(parse(text), Ok(expected), "{text}");
        }
        for text in ["", "G", "-1", "5 apples", "1.2.3"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
