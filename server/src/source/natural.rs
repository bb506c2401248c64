//! The order in which people expect names: numbers by their value, capitals like small letters.

use std::cmp::Ordering;
use std::iter::Peekable;
use std::str::Chars;

/// Compares two names: "2 b" comes before "10 A". Names that differ in nothing but capitals and leading zeros are
/// ordered all the same, so that two lists of the same folder are alike.
pub(super) fn compare(a: &str, b: &str) -> Ordering {
    let (mut left, mut right) = (a.chars().peekable(), b.chars().peekable());
    loop {
        let order = match (left.peek(), right.peek()) {
            (None, None) => return a.cmp(b),
            (Some(l), Some(r)) if l.is_ascii_digit() && r.is_ascii_digit() => {
                let (l, r) = (number(&mut left), number(&mut right));
                l.len().cmp(&r.len()).then_with(|| l.cmp(&r))
            }
            _ => lower(left.next()).cmp(&lower(right.next())),
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

/// The digits that come next, without leading zeros. More digits are a larger number, however many they are.
fn number(chars: &mut Peekable<Chars<'_>>) -> String {
    let mut digits = String::new();
    while let Some(digit) = chars.next_if(char::is_ascii_digit) {
        if digit != '0' || !digits.is_empty() {
            digits.push(digit);
        }
    }
    digits
}

fn lower(c: Option<char>) -> Option<char> {
    c.and_then(|c| c.to_lowercase().next())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_count_by_value_and_capitals_do_not_count() {
        let ordered = [
            "",
            "01 intro",
            "1 Outro",
            "2 b",
            "10 a",
            "10 B",
            "99999999999999999999998",
            "99999999999999999999999",
            "Abba",
            "abba 2",
            "ABBA 10",
            "Zappa",
            "Ärzte",
        ];
        for (i, a) in ordered.iter().enumerate() {
            for (j, b) in ordered.iter().enumerate() {
                assert_eq!(compare(a, b), i.cmp(&j), "{a:?} and {b:?}");
            }
        }
    }
}
