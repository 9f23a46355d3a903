use super::*;
use crate::limits::MAX_CLOSE_TEXT;

struct Bench {
    now: Instant,
    session: Session,
}

impl Bench {
    #[expect(clippy::disallowed_methods, reason = "an Instant can be made in no other way")]
    fn new(timeout: u64) -> Self {
        let now = Instant::now();
        let config = SessionConfig { timeout: Duration::from_secs(timeout), ..Default::default() };
        let mut session = Session::new(now, config);
        session.open(now);
        Self { now, session }
    }

    fn text(&mut self, text: &str) {
        self.session.handle_input(self.now, Input::Text(Bytes::copy_from_slice(text.as_bytes())));
    }

    fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.session.poll_event()).collect()
    }

    fn messages(&mut self) -> Vec<Message> {
        std::iter::from_fn(|| self.session.poll_message()).collect()
    }

    /// Passes time in steps of its deadlines; answers pings when asked to.
    fn pass(&mut self, seconds: u64, answers: bool) -> usize {
        let end = self.now + Duration::from_secs(seconds);
        let mut pings = 0;
        while let Some(at) = self.session.deadline().filter(|at| *at <= end) {
            self.now = at;
            self.session.handle_timeout(at);
            while let Some(message) = self.session.poll_message() {
                if let Message::Ping(payload) = message {
                    pings += 1;
                    if answers {
                        let later = self.now + Duration::from_millis(30);
                        self.session.handle_input(later, Input::Pong(payload));
                    }
                } else {
                    self.session.messages.push_front(message);
                    self.now = end;
                    return pings;
                }
            }
        }
        self.now = end;
        pings
    }
}

fn closed_by_server(bench: &mut Bench) -> (u16, String) {
    let messages = bench.messages();
    let Some(Message::Close(Some((code, text)))) = messages.last() else { panic!("{messages:?}") };
    assert!(bench.session.is_closed());
    let events = bench.events();
    assert!(matches!(events.last(), Some(Event::Closed(_))), "{events:?}");
    (*code, text.clone())
}

#[test]
fn wsk_05_a_silent_client_that_answers_pings_stays_and_is_pinged_every_40_seconds() {
    let mut bench = Bench::new(120);
    let pings = bench.pass(401, true);
    assert_eq!(pings, 11, "after a second and then every 40");
    assert!(!bench.session.is_closed());
    let trips = bench.events();
    assert_eq!(trips.len(), 11);
    assert!(trips.iter().all(|trip| *trip == Event::RoundTrip(Duration::from_millis(30))));
}

#[test]
fn cfg_17_a_client_that_answers_no_ping_is_closed_after_the_timeout() {
    let mut bench = Bench::new(120);
    bench.pass(119, false);
    assert!(!bench.session.is_closed());
    bench.pass(2, false);
    assert_eq!(closed_by_server(&mut bench), (1001, "idle timeout".to_owned()));
    assert_eq!(bench.session.deadline(), None);
}

#[test]
fn wsk_05_short_timeouts_are_pinged_so_often_that_answers_keep_alive() {
    let mut bench = Bench::new(2);
    assert!(bench.pass(60, true) > 60);
    assert!(!bench.session.is_closed());
    let mut never = Bench::new(0);
    never.pass(3_600, false);
    assert!(!never.session.is_closed(), "zero is no timeout");
}

#[test]
fn wsk_01_texts_and_bytes_are_messages() {
    let mut bench = Bench::new(120);
    bench.text(r#"["f",1]"#);
    bench.text("hello");
    bench.session.handle_input(bench.now, Input::Binary(Bytes::from_static(b"[1]")));
    let message = |body: &'static str, answer| Event::Message { body: body.into(), answer };
    let expected = [
        message(r#"["f",1]"#, Answer::Json),
        message("hello", Answer::Raw),
        message("[1]", Answer::Raw),
    ];
    assert_eq!(bench.events(), expected);
}

#[test]
fn wsk_03_while_publishing_arrays_are_data_messages_and_texts_are_not() {
    let mut bench = Bench::new(120);
    bench.text(r#"["__publish","s?a=1"]"#);
    assert_eq!(bench.events(), [Event::Publish { name: "s".into(), query: "a=1".into() }]);
    assert!(bench.session.is_waiting());
    bench.session.accept_publish();
    assert!(!bench.session.is_waiting());
    bench.now += Duration::from_millis(250);
    bench.text(r#"["f",true]"#);
    bench.text("hello");
    bench.text("[1,");
    let frame = MediaFrame::new(MediaKind::Data, 250, Bytes::from_static(b"\x02\x00\x01f\x01\x01"));
    let raw = |body: &'static str| Event::Message { body: body.into(), answer: Answer::Raw };
    assert_eq!(bench.events(), [Event::Data(frame), raw("hello"), raw("[1,")]);
    bench.text(r#"["__closePublish"]"#);
    bench.text(r#"["__closePublish"]"#);
    bench.text(r#"["f",true]"#);
    let call = Event::Message { body: r#"["f",true]"#.into(), answer: Answer::Json };
    assert_eq!(bench.events(), [Event::Unpublish, call]);
}

#[test]
fn wsk_03_publishing_and_playing_anew_end_what_was_before() {
    let mut bench = Bench::new(120);
    bench.text(r#"["__publish","a"]"#);
    bench.session.accept_publish();
    bench.text(r#"["__play","b"]"#);
    bench.session.accept_play();
    bench.events();
    bench.text(r#"["__publish","c"]"#);
    bench.session.accept_publish();
    bench.text(r#"["__play","d"]"#);
    bench.session.accept_play();
    let none = Bytes::new;
    let expected = [
        Event::Unpublish,
        Event::Publish { name: "c".into(), query: none() },
        Event::StopPlay,
        Event::Play { name: "d".into(), query: none() },
    ];
    assert_eq!(bench.events(), expected);
    bench.text(r#"["__close"]"#);
    assert_eq!(bench.events(), [Event::Unpublish, Event::StopPlay]);
    assert!(!bench.session.is_closed(), "the connection stays");
}

#[test]
fn wsk_02_failures_close_with_1002_and_malformed_payloads_with_1007() {
    let mut bench = Bench::new(120);
    bench.session.fail(b"Method 'x' not found");
    assert_eq!(closed_by_server(&mut bench), (1002, "Method 'x' not found".to_owned()));
    let mut bench = Bench::new(120);
    bench.text(r#"["__publish",5]"#);
    assert_eq!(closed_by_server(&mut bench).0, 1007);
    let mut bench = Bench::new(120);
    bench.session.handle_violation(&Violation::NotUtf8);
    assert_eq!(closed_by_server(&mut bench).0, 1007);
    let mut bench = Bench::new(120);
    bench.session.handle_violation(&Violation::TooManyFragments);
    assert_eq!(closed_by_server(&mut bench).0, 1009);
}

#[test]
fn close_texts_are_cut_at_a_character() {
    let mut bench = Bench::new(120);
    bench.session.fail("ä".repeat(200).as_bytes());
    let (_, text) = closed_by_server(&mut bench);
    assert_eq!(text.len(), MAX_CLOSE_TEXT - 1);
}

#[test]
fn a_close_frame_of_the_client_is_answered_with_its_code_and_ends_everything() {
    for (sent, code) in [(Some((4001, Bytes::from_static(b"bye"))), Some(4001)), (None, None)] {
        let mut bench = Bench::new(120);
        bench.session.handle_input(bench.now, Input::Close(sent));
        let answer = Message::Close(code.map(|code| (code, String::new())));
        assert_eq!(bench.messages(), [answer]);
        assert_eq!(bench.events(), [Event::Closed(CloseReason::ByClient(code))]);
        bench.text("more");
        bench.session.close(0);
        assert_eq!((bench.messages(), bench.events()), (vec![], vec![]));
    }
}

#[test]
fn pings_are_answered_and_strange_pongs_count_for_nothing_but_life() {
    let mut bench = Bench::new(120);
    bench.session.handle_input(bench.now, Input::Ping(Bytes::from_static(b"x")));
    bench.session.handle_input(bench.now, Input::Pong(Bytes::from_static(b"x")));
    assert_eq!(bench.messages(), [Message::Pong(Bytes::from_static(b"x"))]);
    assert_eq!(bench.events(), []);
}

#[test]
fn wsk_04_names_are_written_as_json() {
    let mut bench = Bench::new(120);
    bench.session.published(b"s");
    bench.session.unpublished(b"a\"b");
    let text = |text: &'static str| Message::Text(text.into());
    let expected = [text(r#"["__publishing","s"]"#), text(r#"["__unpublishing","a\"b"]"#)];
    assert_eq!(bench.messages(), expected);
}

#[test]
fn pub_05_a_publisher_whose_publication_a_script_ended_is_told() {
    let mut bench = Bench::new(120);
    bench.text(r#"["__publish","s"]"#);
    bench.session.accept_publish();
    bench.session.publication_closed(Some(&("Publish.Error".into(), "m".into())));
    bench.text(r#"["f"]"#);
    let told = Message::Text(r#"["__closePublish","Publish.Error","m"]"#.into());
    assert_eq!(bench.messages(), [told]);
    assert!(matches!(bench.events()[..], [_, Event::Message { .. }]));
}
