use serde::Serialize;

use super::super::message::{CountsRecord, Message, RevertRecord};
use super::moment;

/// A post to an incoming webhook of Slack: blocks, and a text for whoever is only notified
/// (docs.slack.dev/reference/block-kit).
#[derive(Debug, Serialize)]
pub(super) struct Post {
    text: String,
    blocks: Vec<Block>,
}

#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Block {
    Section {
        #[serde(skip_serializing_if = "Option::is_none")]
        text: Option<Text>,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        fields: Vec<Text>,
    },
    Context {
        elements: Vec<Text>,
    },
}

#[derive(Debug, Serialize)]
struct Text {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(rename = "text")]
    words: String,
    /// Nothing in it is taken for a link or for somebody's name.
    verbatim: bool,
}

/// What Slack takes at most: 3,000 characters in a section's text, and 2,000 in a field, whose name counts too.
const LONGEST_SECTION: usize = 3_000;
const LONGEST_FIELD: usize = 1_900;

pub(super) fn post(message: &Message, source: &str) -> Post {
    let text = escape(&message.text, LONGEST_SECTION);
    let mut blocks = vec![Block::Section { text: Some(marked(text.clone())), fields: Vec::new() }];
    if let Some(revert) = &message.revert {
        blocks.push(Block::Section { text: None, fields: fields(revert) });
    }
    let by = message.by.as_ref().map(|by| format!("by {by}"));
    let facts = [
        Some(message.topic.as_str().to_owned()),
        message.service.clone(),
        message.team.clone(),
        by,
        Some(moment(message.at)),
        Some(source.to_owned()),
    ];
    let facts = facts.into_iter().flatten().collect::<Vec<_>>().join(" · ");
    blocks.push(Block::Context { elements: vec![marked(escape(&facts, LONGEST_FIELD))] });
    Post { text, blocks }
}

/// Counts of both sides, in two columns.
fn fields(revert: &RevertRecord) -> Vec<Text> {
    let what = match (&revert.question, &revert.route) {
        (None, _) => "failures".to_owned(),
        (Some(question), None) => question.clone(),
        (Some(question), Some(route)) => format!("{question}, {route}"),
    };
    let counts = |CountsRecord { bad, of }: CountsRecord| format!("{bad} of {of}");
    let fields = [
        ("Kubernetes", counts(revert.kubernetes)),
        ("Helios", counts(revert.helios)),
        ("What", format!("{what}, in {:.1} s", revert.window_s)),
        ("Weight", format!("{:.2} → {:.2}", revert.weight_before_percent, revert.weight_after_percent)),
        ("Rescued", format!("{}, and {} were not", revert.rescued, revert.unrescued)),
    ];
    fields
        .into_iter()
        .map(|(name, value)| marked(format!("*{name}*\n{}", escape(&value, LONGEST_FIELD))))
        .collect()
}

fn marked(words: String) -> Text {
    Text { kind: "mrkdwn", words, verbatim: true }
}

/// The three characters by which Slack tells markup from text (docs.slack.dev, "Escaping text") are written as entities: nobody
/// gets to call a whole channel by the reason of a revert. At most so many characters, entities counted whole.
fn escape(text: &str, most: usize) -> String {
    let mut escaped = String::new();
    let mut length = 0;
    for (place, character) in text.char_indices() {
        let (entity, width) = match character {
            '&' => (Some("&amp;"), 5),
            '<' => (Some("&lt;"), 4),
            '>' => (Some("&gt;"), 4),
            _ => (None, 1),
        };
        let is_last = place + character.len_utf8() == text.len();
        // What is left out needs room for the sign that it is.
        if length + width > if is_last { most } else { most - 1 } {
            escaped.push('…');
            break;
        }
        length += width;
        match entity {
            Some(entity) => escaped.push_str(entity),
            None => escaped.push(character),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::webhooks::message::tests::reverted;

    #[test]
    fn nobody_calls_a_channel_by_a_reason() {
        let message = Message { text: "a & b <!channel> <https://evil|x>".to_owned(), ..reverted() };
        let post = post(&message, "switchback/a");
        assert_eq!(post.text, "a &amp; b &lt;!channel&gt; &lt;https://evil|x&gt;");
        let whole = serde_json::to_string(&post).unwrap();
        assert!(!whole.contains('<') && !whole.contains('>'), "{whole}");
    }

    #[test]
    fn what_is_too_long_ends_between_characters_and_entities() {
        for (text, most, expected) in [
            ("abc", 3, "abc"),
            ("abcd", 3, "ab…"),
            ("a&", 6, "a&amp;"),
            ("a&", 5, "a…"),
            ("a&b", 6, "a…"),
            ("a&b", 7, "a&amp;b"),
            ("äöüß", 3, "äö…"),
        ] {
            assert_eq!(escape(text, most), expected, "{text} {most}");
        }
        let message = Message { text: "&".repeat(2_000), ..reverted() };
        let length = post(&message, "switchback/a").text.chars().count();
        assert!((LONGEST_SECTION - 10..=LONGEST_SECTION).contains(&length), "{length}");
    }
}
