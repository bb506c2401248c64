//! What the listener may do here, and what the host is told of the listener.

use protocol::message::{
    ClientCommand, ClientState, ControllerState, PartyCommand, PartyState, SyncReport,
};
use protocol::time::{ClientSpan, ClientTime};

use super::Player;
use super::api::{Event, Output};
use super::controls::clipped;
use crate::stats::State;

/// Time between two reports of how well this player is in step.
const REPORT_EVERY: ClientSpan = ClientSpan::from_millis(2_000);
/// Most players that are shown to a host: the party itself may be larger.
const PLAYERS_MAX: usize = 200;

/// What the server last said of this listener's rights. Each connection begins without any.
#[derive(Debug, Default)]
pub(super) struct Guest {
    controller: Option<ControllerState>,
    party: PartyState,
    report_at: Option<ClientTime>,
}

impl Guest {
    /// When the next report is due, if anybody wants one.
    pub(super) fn report_at(&self) -> Option<ClientTime> {
        self.report_at
    }
}

impl Player {
    pub(super) fn handle_rights(
        &mut self,
        now: ClientTime,
        controller: Option<ControllerState>,
        party: Option<PartyState>,
    ) {
        if controller.is_some() && controller != self.guest.controller {
            self.guest.controller = controller;
            let event = Event::Controller(self.guest.controller.clone());
            self.outputs.push_back(Output::Event(event));
        }
        if let Some(party) = party.map(fit_for_display) {
            let report_at = self.guest.report_at.unwrap_or(now);
            self.guest.report_at = party.report.then_some(report_at);
            if party != self.guest.party {
                self.guest.party = party;
                let event = Event::Party(self.guest.party.clone());
                self.outputs.push_back(Output::Event(event));
            }
            self.report(now);
        }
    }

    /// Another server, or the same one after a while, begins anew.
    pub(super) fn forget_rights(&mut self) {
        let Guest { controller, party, .. } = std::mem::take(&mut self.guest);
        if controller.is_some() {
            self.outputs.push_back(Output::Event(Event::Controller(None)));
        }
        if party != PartyState::default() {
            self.outputs.push_back(Output::Event(Event::Party(PartyState::default())));
        }
    }

    /// Tells how well this player is in step, when that is due.
    pub(super) fn report(&mut self, now: ClientTime) {
        if !self.link.is_open() {
            self.guest.report_at = None;
        }
        if self.guest.report_at.is_none_or(|at| now < at) {
            return;
        }
        self.guest.report_at = Some(now + REPORT_EVERY);
        let stats = self.stats(now);
        let report = SyncReport {
            playing: stats.state == State::Playing,
            error_us: stats.sync_error_us,
            buffered_ms: stats.buffered_ms,
            reanchors: u64::from(stats.reanchors),
            underruns: u64::from(stats.underruns),
        };
        self.send(ClientState { party: Some(report), ..ClientState::default() });
    }

    /// Changes what this player is called. Servers that know nothing of it hear the name with the next hello.
    pub(super) fn set_name(&mut self, name: String) {
        self.config.name.clone_from(&name);
        self.ask(ClientCommand { controller: None, party: Some(PartyCommand::Rename { name }) });
    }

    /// Asks the server for something, if there is one: what is asked of nobody is not asked later.
    pub(super) fn ask(&mut self, command: ClientCommand) {
        if self.link.is_open() {
            self.send(command);
        }
    }
}

/// Names and titles no longer than a page can show, and no more players than a person can look at.
fn fit_for_display(mut party: PartyState) -> PartyState {
    for entry in &mut party.next_up {
        entry.title = clipped(&entry.title);
        entry.artist = entry.artist.as_deref().map(clipped);
    }
    if let Some(players) = &mut party.players {
        players.truncate(PLAYERS_MAX);
        for player in players {
            player.name = clipped(&player.name);
        }
    }
    party
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::player::{Command, Config};
    use crate::stats::OutputKind;
    use protocol::message::{ControllerCommand, PartySupport};

    const HELLO: &str = r#"{"type":"server/hello","payload":{"server_id":"s","name":"S","version":1,
        "active_roles":["player@v1"],"connection_reason":"playback"}}"#;

    fn at(ms: i64) -> ClientTime {
        ClientTime::from_micros(ms * 1_000)
    }

    fn connected(host_key: Option<&str>) -> Player {
        let config = Config {
            client_id: "c".to_owned(),
            name: "C".to_owned(),
            product: None,
            volume: 50,
            muted: false,
            delay_ms: 0,
            output: OutputKind::Worklet,
            seed: 1,
            party: PartySupport { host_key: host_key.map(str::to_owned) },
        };
        let mut player = Player::new(config, at(0));
        player.connected(at(1));
        player
    }

    fn outputs(player: &mut Player) -> Vec<Output> {
        let all = std::iter::repeat_with(|| player.poll_output());
        all.take_while(|output| !matches!(output, Output::Timeout(_))).collect()
    }

    fn sent(player: &mut Player, word: &str) -> usize {
        let is_sent = |output: &Output| matches!(output, Output::Send(text) if text.contains(word));
        outputs(player).iter().filter(|output| is_sent(output)).count()
    }

    fn events(player: &mut Player) -> Vec<Event> {
        let event = |output| match output {
            Output::Event(event) => Some(event),
            _ => None,
        };
        outputs(player).into_iter().filter_map(event).collect()
    }

    #[test]
    fn the_key_goes_into_the_hello_and_nowhere_else() {
        let mut player = connected(Some("secret-key"));
        assert!(!format!("{:?}", player.config).contains("secret"), "the key would end in logs");
        assert_eq!(sent(&mut player, r#""host_key":"secret-key""#), 1);
        player.handle_text(at(2), HELLO);
        player.command(at(3), Command::Stop);
        assert_eq!(sent(&mut player, "secret-key"), 0);
    }

    #[test]
    fn rights_are_told_once_and_end_with_the_connection() {
        let mut player = connected(None);
        player.handle_text(at(2), HELLO);
        events(&mut player);
        let state = r#"{"type":"server/state","payload":{
            "controller":{"supported_commands":["next"],"volume":50,"muted":false,"seek_max_ms":9},
            "_partyline":{"rights":"host","next_up":[{"id":7,"title":"T"}]}}}"#;
        player.handle_text(at(3), state);
        let told = events(&mut player);
        let [Event::Controller(Some(controller)), Event::Party(party)] = &told[..] else {
            panic!("{told:?}")
        };
        assert_eq!((controller.seek_max_ms, party.next_up[0].id), (Some(9), 7));
        player.handle_text(at(4), state);
        assert_eq!(events(&mut player), []);
        player.disconnected(at(5), &crate::player::Disconnect::default());
        player.handle_timeout(at(20_000));
        player.connected(at(20_001));
        player.handle_text(at(20_002), HELLO);
        let told = events(&mut player);
        assert!(told.contains(&Event::Controller(None)), "{told:?}");
        assert!(told.contains(&Event::Party(PartyState::default())), "{told:?}");
    }

    #[test]
    fn reports_are_sent_while_somebody_looks() {
        let mut player = connected(None);
        player.handle_text(at(2), HELLO);
        outputs(&mut player);
        let looks = |player: &mut Player, ms, report| {
            let state = format!(
                r#"{{"type":"server/state","payload":{{"_partyline":{{"report":{report}}}}}}}"#
            );
            player.handle_text(at(ms), &state);
        };
        looks(&mut player, 100, true);
        assert_eq!(sent(&mut player, "buffered_ms"), 1);
        player.handle_timeout(at(2_099));
        assert_eq!(sent(&mut player, "buffered_ms"), 0);
        player.handle_timeout(at(2_100));
        assert_eq!(sent(&mut player, "buffered_ms"), 1);
        looks(&mut player, 2_200, false);
        player.handle_timeout(at(9_000));
        assert_eq!(sent(&mut player, "buffered_ms"), 0);
    }

    #[test]
    fn what_is_asked_of_nobody_is_not_asked_later() {
        let mut player = connected(None);
        player.command(at(2), Command::Control(ControllerCommand::Next));
        player.handle_text(at(3), HELLO);
        assert_eq!(sent(&mut player, "client/command"), 0);
        player.command(at(4), Command::Control(ControllerCommand::Next));
        assert_eq!(sent(&mut player, r#""command":"next""#), 1);
    }

    #[test]
    fn a_host_is_shown_no_more_than_a_page_can_show() {
        let long = "x".repeat(9_000);
        let player = |_| protocol::message::PlayerInfo { name: long.clone(), ..Default::default() };
        let players = (0..1_000).map(player).collect();
        let party = fit_for_display(PartyState { players: Some(players), ..PartyState::default() });
        let players = party.players.unwrap_or_default();
        assert_eq!((players.len(), players[0].name.len()), (PLAYERS_MAX, 500));
    }
}
