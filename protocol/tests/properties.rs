//! Properties of the JSON messages, for arbitrary ones: what is written is read back as it was, absent,
//! null and value stay apart, and no text whatever makes the decoder panic.
//!
//! The strategies build every variant of both directions from its fields, so that a field added to a
//! message does not compile here until it is covered.

mod strategy;

use proptest::prelude::*;
use protocol::message::{ClientMessage, Field, Metadata, ServerMessage, ServerState};
use protocol::time::ServerTime;
use serde_json::{Map, Value, json};

proptest! {
    #[test]
    fn what_a_client_writes_is_read_back(message in strategy::client_message()) {
        let text = message.encode();
        prop_assert_eq!(ClientMessage::decode(&text).expect(&text), Some(message));
    }

    #[test]
    fn what_a_server_writes_is_read_back(message in strategy::server_message()) {
        let text = message.encode();
        prop_assert_eq!(ServerMessage::decode(&text).expect(&text), Some(message));
    }

    #[test]
    fn key_order_and_foreign_keys_do_not_matter(
        message in strategy::client_message(),
        key in "x_[a-z]{1,8}",
        value in strategy::json(),
    ) {
        let envelope: Value = serde_json::from_str(&message.encode()).expect("JSON");
        let mut payload = envelope["payload"].as_object().expect("an object").clone();
        payload.insert(key.clone(), value.clone());
        let payload = reversed(&payload);
        let text = format!(
            "{{\"payload\":{payload},{}:{value},\"type\":{}}}",
            json!(key), envelope["type"]
        );
        prop_assert_eq!(ClientMessage::decode(&text).expect(&text), Some(message));
    }

    /// Each way a title can travel has one meaning, on the wire and off it.
    #[test]
    fn absent_null_and_value_stay_apart(title in strategy::field(".{0,12}".prop_map(String::from))) {
        let metadata = Metadata { title: title.clone(), ..strategy::bare_metadata(ServerTime::from_micros(1)) };
        let text = ServerMessage::from(ServerState { metadata: Some(metadata), ..ServerState::default() }).encode();
        let wire: Value = serde_json::from_str(&text).expect("JSON");
        let wire_title = wire["payload"]["metadata"].get("title").cloned();
        prop_assert_eq!(wire_title, match &title {
            Field::Absent => None,
            Field::Null => Some(Value::Null),
            Field::Value(title) => Some(Value::from(title.as_str())),
        });

        let Ok(Some(ServerMessage::State(ServerState { metadata: Some(read), .. }))) = ServerMessage::decode(&text) else {
            return Err(TestCaseError::fail(text));
        };
        let mut state = Some("before".to_owned());
        read.title.apply_to(&mut state);
        prop_assert_eq!(state, match title {
            Field::Absent => Some("before".to_owned()),
            Field::Null => None,
            Field::Value(title) => Some(title),
        });
    }

    #[test]
    fn no_text_panics(text in "\\PC{0,200}") {
        decode_both(&text);
    }

    #[test]
    fn no_json_panics(value in strategy::json(), r#type in strategy::type_name()) {
        decode_both(&value.to_string());
        decode_both(&json!({ "type": r#type, "payload": value }).to_string());
    }

    #[test]
    fn no_damaged_message_panics(
        message in strategy::client_message(),
        reply in strategy::server_message(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<char>()), 1..6),
    ) {
        for text in [message.encode(), reply.encode()] {
            let mut letters: Vec<char> = text.chars().collect();
            for (at, letter) in &damage {
                let at = at.index(letters.len());
                letters[at] = *letter;
            }
            decode_both(&letters.iter().collect::<String>());
            letters.truncate(damage[0].0.index(letters.len()));
            decode_both(&letters.iter().collect::<String>());
        }
    }
}

#[test]
fn nesting_of_any_depth_is_refused_or_skipped_without_running_out_of_stack() {
    for depth in [100, 1_000, 100_000] {
        let nest = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let nest_of_objects = format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
        for nest in [nest, nest_of_objects] {
            decode_both(&nest);
            decode_both(&format!("{{\"type\":{nest},\"payload\":{{}}}}"));
            for place in [
                "{\"type\":\"client/time\",\"payload\":NEST}",
                "{\"type\":\"client/time\",\"payload\":{\"client_transmitted\":NEST}}",
                "{\"type\":\"client/hello\",\"payload\":{\"supported_roles\":[NEST]}}",
                "{\"type\":\"client/state\",\"payload\":{\"player\":{\"supported_commands\":[NEST]}}}",
                "{\"type\":\"client/command\",\"payload\":{\"controller\":{\"x\":NEST,\"command\":\"play\"}}}",
                "{\"type\":\"stream/start\",\"payload\":{\"player\":{\"x\":NEST}}}",
            ] {
                decode_both(&place.replace("NEST", &nest));
            }
        }
    }
}

fn decode_both(text: &str) {
    let _ = ClientMessage::decode(text);
    let _ = ServerMessage::decode(text);
}

/// The object as text with its keys in reverse order.
fn reversed(object: &Map<String, Value>) -> String {
    let entries: Vec<String> =
        object.iter().rev().map(|(key, value)| format!("{}:{value}", json!(key))).collect();
    format!("{{{}}}", entries.join(","))
}
