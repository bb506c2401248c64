//! What is fuzzed: everything that reads bytes from a stranger. Each function may do anything with `data` but panic,
//! hang, or keep more memory than the limits allow.
//!
//! Shared by the fuzzer (`tests/fuzz`) and by the replay of its corpus (`tests/tests/corpus.rs`).

use std::io::Write as _;
use std::time::Duration;

use player_wasm::output_clock::DeviceReading;
use player_wasm::player::{Config, Disconnect, Output, Player};
use player_wasm::stats::OutputKind;
use protocol::binary::BinaryMessage;
use protocol::message::{ClientMessage, PartySupport, Repeat, ServerMessage};
use protocol::time::{ClientSpan, ClientTime, ServerSpan, ServerTime};
use server::sans_io::{Next, Party};
use server::source::{self, Jump, Options, Read, SourceSpec};

/// Most that a session or a player may hand out in one go. A lead's worth of the shortest chunks is far below.
const OUTPUTS_MAX: usize = 10_000;

/// Blocks of a file that are decoded, which is about 40 s of sound.
const BLOCKS_MAX: usize = 500;

/// A target's name, which is its corpus's folder, and what it does.
pub(crate) type Target = (&'static str, fn(&[u8]));

/// All of them.
pub(crate) const TARGETS: [Target; 6] = [
    ("client_message", client_message),
    ("server_message", server_message),
    ("binary_message", binary_message),
    ("session", session),
    ("player", player),
    ("media", media),
];

/// What a client says.
pub(crate) fn client_message(data: &[u8]) {
    let _ = ClientMessage::decode(&String::from_utf8_lossy(data));
}

/// What a server says. What was understood can be said again, and means the same.
pub(crate) fn server_message(data: &[u8]) {
    if let Ok(Some(message)) = ServerMessage::decode(&String::from_utf8_lossy(data)) {
        let again = ServerMessage::decode(&message.encode());
        assert_eq!(again.ok().flatten(), Some(message));
    }
}

/// Binary messages of either side.
pub(crate) fn binary_message(data: &[u8]) {
    let _ = BinaryMessage::decode(data);
}

/// A client's messages, a line each; a line's length is the time that passes before it, in ms.
pub(crate) fn session(data: &[u8]) {
    let Ok(metronome) = source::open(&[SourceSpec::Metronome], &Options::repeating(Repeat::All))
    else {
        return;
    };
    let mut party = Party::new("fuzzed", metronome);
    let mut now = ServerTime::from_micros(1_000_000);
    party.advance(now);
    let mut connection = party.accept(now);
    for line in data.split(|&byte| byte == b'\n') {
        now += ServerSpan::from_millis(line.len() as i64);
        party.advance(now);
        connection.handle_text(now, &String::from_utf8_lossy(line));
        let mut outputs = 0;
        loop {
            match connection.poll(now, party.house()) {
                Next::Wait(_) => break,
                Next::Close(..) => return,
                Next::Text(_) | Next::Binary(_) => outputs += 1,
            }
            assert!(outputs < OUTPUTS_MAX, "it never ends");
        }
    }
}

/// A server's messages: a byte says what comes, two how long it is, then it follows.
pub(crate) fn player(mut data: &[u8]) {
    let mut now = ClientTime::from_micros(1_000_000);
    let config = Config {
        client_id: "fuzzed".to_owned(),
        name: "Fuzzed".to_owned(),
        product: None,
        volume: 100,
        muted: false,
        delay_ms: 0,
        output: OutputKind::Worklet,
        seed: 1,
        party: PartySupport::default(),
    };
    let mut player = Player::new(config, now);
    player.connected(now);
    drain(&mut player);
    while let Some((&[what, high, low], rest)) = data.split_first_chunk() {
        let length = usize::from(u16::from_be_bytes([high, low])).min(rest.len());
        let (message, rest) = rest.split_at(length);
        data = rest;
        now += ClientSpan::from_millis(i64::from(what >> 2) * 16);
        match what & 3 {
            0 => player.handle_text(now, &String::from_utf8_lossy(message)),
            1 => player.handle_binary(now, message),
            2 => {
                let rendered_s = now.as_micros() as f64 * 1e-6;
                let reading = DeviceReading {
                    rate_hz: 48_000,
                    rendered_s,
                    output_timestamp: Some((rendered_s, now)),
                    latency_s: Some(0.02),
                };
                player.handle_device(now, Some(reading));
            }
            _ => player.disconnected(now, &Disconnect { code: 1006, reason: String::new() }),
        }
        drain(&mut player);
        player.handle_timeout(now);
        drain(&mut player);
        let _ = player.stats(now);
    }
}

fn drain(player: &mut Player) {
    for _ in 0..OUTPUTS_MAX {
        if let Output::Timeout(_) = player.poll_output() {
            return;
        }
    }
    panic!("it never ends");
}

/// An audio file. Its first byte says what its name ends with.
pub(crate) fn media(data: &[u8]) {
    const ENDINGS: [&str; 9] = ["flac", "mp3", "m4a", "aac", "ogg", "wav", "aiff", "m4b", "oga"];
    let Some((&ending, data)) = data.split_first() else { return };
    let ending = ENDINGS[usize::from(ending) % ENDINGS.len()];
    let Ok(mut file) = tempfile::Builder::new().suffix(&format!(".{ending}")).tempfile() else {
        return;
    };
    if file.write_all(data).is_err() {
        return;
    }
    let specs = [SourceSpec::File(file.path().into())];
    let Ok(mut source) = source::open(&specs, &Options::default()) else {
        return;
    };
    for _ in 0..BLOCKS_MAX {
        let heard = source.run().number;
        let Ok(Read::Pcm(pcm)) = source.read(Duration::ZERO) else { return };
        assert!(pcm.samples.iter().all(|sample| sample.is_finite()), "no number");
        // To somewhere, by what has been heard.
        if pcm.samples.len().is_multiple_of(3) {
            let position_ms = pcm.samples.len() as u64;
            let _ = source.jump(Jump::Seek { heard, position_ms });
        }
    }
}
