use switchback::config::TokenHash;

/// A token of Switchback's own, made of a number.
pub(crate) fn token(number: u8) -> String {
    let letters = "abcdefghijklmnopqrstuvwxyz";
    let letter = char::from(letters.as_bytes()[usize::from(number) % 26]);
    format!("sbt_{}{}", number % 10, letter.to_string().repeat(42))
}

/// The entry of such a token.
pub(crate) fn entry(name: &str, lines: &str, number: u8) -> String {
    let TokenHash { salt, hash } = TokenHash::new([number; 16], &token(number));
    let digits =
        |bytes: &[u8]| bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(digit).collect::<String>();
    format!("[tokens.{name}]\n{lines}\nsalt = \"{}\"\nhash = \"{}\"\n", digits(&salt), digits(&hash))
}

fn digit(number: u8) -> char {
    char::from_digit(number.into(), 16).unwrap()
}
