//! Script API spec section 8, row by row.

use super::*;
use crate::command::{PublishRefusal, RejectCode};

fn publish(pair: &mut Pair, stream: StreamId, name: &str) {
    pair.client.publish(stream, name, PublishMode::Live).expect("fits");
    pair.drive();
}

fn play(pair: &mut Pair, stream: StreamId, name: &str) {
    pair.client.play(stream, name).expect("fits");
    pair.drive();
}

#[test]
fn sta_01_connect_success_carries_encoding_and_what_the_script_returned() {
    let mut pair = Pair::new();
    pair.decide = |session, event| {
        if matches!(event, Event::Connect(_)) {
            session.accept_connect(b"\x00\x02id\x00\x3f\xf0\x00\x00\x00\x00\x00\x00");
        }
    };
    pair.client.connect("rtmp://host/app", &[]).expect("fits");
    pair.drive();
    let expected = info("status", "NetConnection.Connect.Success", "Connection succeeded")
        .with("objectEncoding", 0.0)
        .with("id", 1.0);
    let Some(ClientEvent::Connected { info, .. }) = pair.client_events.last() else {
        panic!("{:?}", pair.client_events)
    };
    assert_eq!(info, &expected);
}

fn rejected(code: RejectCode, text: &'static str, decide: fn(&mut Session, &Event)) {
    let mut pair = Pair::new();
    pair.decide = decide;
    pair.client.connect("rtmp://host/app", &[]).expect("fits");
    pair.drive();
    let code = match code {
        RejectCode::Rejected => "NetConnection.Connect.Rejected",
        RejectCode::InvalidApp => "NetConnection.Connect.InvalidApp",
        RejectCode::Failed => "NetConnection.Connect.Failed",
    };
    let close = ClientEvent::Call {
        stream: StreamId(0),
        name: Bytes::from_static(b"close"),
        args: Vec::new(),
    };
    let refused = ClientEvent::Refused(info("error", code, text));
    assert_eq!(pair.client_events[1..], [refused, close]);
    assert_eq!(pair.closed(), Some(&CloseReason::Rejected));
}

#[test]
fn sta_02_rejected_connect_gets_the_text_then_close() {
    rejected(RejectCode::Rejected, "you are not Tom!", |session, event| {
        if matches!(event, Event::Connect(_)) {
            session.reject_connect(RejectCode::Rejected, b"you are not Tom!");
        }
    });
}

#[test]
fn sta_03_unknown_application_is_invalid_app() {
    rejected(RejectCode::InvalidApp, "Application /x doesn't exist", |session, event| {
        if matches!(event, Event::Connect(_)) {
            session.reject_connect(RejectCode::InvalidApp, b"Application /x doesn't exist");
        }
    });
}

#[test]
fn sta_04_other_failures_are_connect_failed() {
    rejected(RejectCode::Failed, "Client 00 exists already", |session, event| {
        if matches!(event, Event::Connect(_)) {
            session.reject_connect(RejectCode::Failed, b"Client 00 exists already");
        }
    });
}

#[test]
fn sta_06_failed_call_is_answered_under_its_transaction() {
    let (mut pair, _) = Pair::with_stream();
    pair.decide = |session, event| {
        if let Event::Call { transaction, name, .. } = event {
            let text = format!("Method '{}' not found", String::from_utf8_lossy(name));
            session.fail_call(*transaction, text.as_bytes());
        }
    };
    let transaction = pair.client.call("x", &[]).expect("fits");
    pair.drive();
    let info = info("error", "NetConnection.Call.Failed", "Method 'x' not found");
    assert_eq!(pair.client_events, [ClientEvent::Error { transaction, info }]);
}

#[test]
fn sta_07_close_of_the_main_writer_says_why_then_close() {
    for (kind, code) in [
        (CloseKind::IdleTimeout, Some("NetConnection.Connect.IdleTimeout")),
        (CloseKind::AppShutdown, Some("NetConnection.Connect.AppShutdown")),
        (CloseKind::Normal, None),
    ] {
        let (mut pair, _) = Pair::with_stream();
        pair.session.close(kind);
        pair.drive();
        let mut expected = Vec::new();
        if let Some(code) = code {
            let info = info("error", code, "Client closed by server side");
            expected.push(ClientEvent::Error { transaction: 0.0, info });
        }
        expected.push(ClientEvent::Call {
            stream: StreamId(0),
            name: Bytes::from_static(b"close"),
            args: Vec::new(),
        });
        assert_eq!(pair.client_events, expected);
        assert_eq!(pair.closed(), Some(&CloseReason::Local(kind)));
    }
}

#[test]
fn sta_08_play_is_reset_and_started_then_sample_access() {
    let (mut pair, stream) = Pair::with_stream();
    play(&mut pair, stream, "s");
    assert_eq!(
        pair.statuses(),
        [
            status(stream, "status", "NetStream.Play.Reset", "Playing and resetting s"),
            status(stream, "status", "NetStream.Play.Start", "Started playing s"),
        ]
    );
    let access = amf0(&["|RtmpSampleAccess".into(), true.into(), true.into()]);
    let frame = frame(MediaKind::Data, 0, &access);
    assert_eq!(pair.client_events.last(), Some(&ClientEvent::Media { stream, frame }));
}

#[test]
fn lis_06_changed_rights_are_sent_again_to_a_player_that_was_accepted() {
    let (mut pair, stream) = Pair::with_stream();
    pair.session.change_sample_access(stream, false, true);
    pair.drive();
    assert_eq!(pair.client_events, [], "nothing is played");
    play(&mut pair, stream, "s");
    pair.forget();
    pair.session.change_sample_access(stream, false, true);
    pair.drive();
    let access = amf0(&["|RtmpSampleAccess".into(), false.into(), true.into()]);
    let frame = frame(MediaKind::Data, 0, &access);
    assert_eq!(pair.client_events, [ClientEvent::Media { stream, frame }]);
}

#[test]
fn sta_10_refused_play_is_failed_with_the_text() {
    let (mut pair, stream) = Pair::with_stream();
    pair.decide = |session, event| {
        if let Event::Play { stream, .. } = event {
            session.refuse_play(*stream, b"Not authorized to play s");
        }
    };
    play(&mut pair, stream, "s");
    let expected = status(stream, "error", "NetStream.Play.Failed", "Not authorized to play s");
    assert_eq!(pair.statuses(), [expected]);
    pair.forget();
    pair.client.close_stream(stream);
    pair.drive();
    assert_eq!(pair.events, [], "what was refused does not end");
}

#[test]
fn sta_11_player_that_closes_its_stream_is_told_so() {
    let (mut pair, stream) = Pair::with_stream();
    play(&mut pair, stream, "s");
    pair.forget();
    pair.client.close_stream(stream);
    pair.drive();
    let expected = status(stream, "status", "NetStream.Play.Stop", "Stopped playing s");
    assert_eq!(pair.statuses(), [expected]);
    assert_eq!(pair.events, [Event::StopPlay { stream }]);
}

#[test]
fn sta_12_player_is_told_when_the_publication_starts_and_ends() {
    let (mut pair, stream) = Pair::with_stream();
    play(&mut pair, stream, "s");
    pair.forget();
    pair.session.play_published(stream);
    pair.session.play_unpublished(stream);
    pair.drive();
    assert_eq!(
        pair.statuses(),
        [
            status(stream, "status", "NetStream.Play.PublishNotify", "s is now published"),
            status(stream, "status", "NetStream.Play.UnpublishNotify", "s is now unpublished"),
        ]
    );
}

#[test]
fn sta_12_player_of_a_running_publication_is_told_after_the_sample_access() {
    let (mut pair, stream) = Pair::with_stream();
    pair.decide = |session, event| {
        if let Event::Play { stream, .. } = event {
            session.accept_play(*stream, true, false, true);
        }
    };
    play(&mut pair, stream, "s");
    let [.., ClientEvent::Media { frame: access, .. }, ClientEvent::Status { code, .. }] =
        &pair.client_events[..]
    else {
        panic!("{:?}", pair.client_events)
    };
    let expected = amf0(&["|RtmpSampleAccess".into(), false.into(), true.into()]);
    assert_eq!(access.payload, expected);
    assert_eq!(code, "NetStream.Play.PublishNotify");
}

#[test]
fn sta_13_publish_refused_by_the_script_is_failed() {
    let (mut pair, stream) = Pair::with_stream();
    pair.decide = |session, event| {
        if let Event::Publish { stream, .. } = event {
            let text = Bytes::from_static(b"Not allowed to publish s");
            session.refuse_publish(*stream, &PublishRefusal::Refused(text));
        }
    };
    publish(&mut pair, stream, "s");
    let expected = status(stream, "error", "NetStream.Publish.Failed", "Not allowed to publish s");
    assert_eq!(pair.statuses(), [expected]);
}

#[test]
fn sta_14_name_that_is_running_is_a_bad_name() {
    let (mut pair, stream) = Pair::with_stream();
    pair.decide = |session, event| {
        if let Event::Publish { stream, .. } = event {
            session.refuse_publish(*stream, &PublishRefusal::BadName);
        }
    };
    publish(&mut pair, stream, "s?key=1");
    let expected = status(stream, "error", "NetStream.Publish.BadName", "s is already publishing");
    assert_eq!(pair.statuses(), [expected]);
    pair.forget();
    let lost = frame(MediaKind::Audio, 0, b"a");
    pair.client.send_frame(stream, &lost).expect("fits");
    pair.drive();
    assert_eq!(pair.events, [], "media of a refused publication goes nowhere");
}

#[test]
fn sta_15_publish_starts_and_ends_with_a_status() {
    let (mut pair, stream) = Pair::with_stream();
    publish(&mut pair, stream, "s");
    pair.client.close_stream(stream);
    pair.drive();
    assert_eq!(
        pair.statuses(),
        [
            status(stream, "status", "NetStream.Publish.Start", "s is now published"),
            status(stream, "status", "NetStream.Unpublish.Success", "s is now unpublished"),
        ]
    );
    assert_eq!(pair.events.last(), Some(&Event::Unpublish { stream }));
}

#[test]
fn sta_16_publication_closed_by_a_script_gets_its_code_then_close() {
    for (code, level) in [("Publish.Error", "error"), ("Publish.Done", "status")] {
        let (mut pair, stream) = Pair::with_stream();
        publish(&mut pair, stream, "s");
        pair.forget();
        pair.session.close_stream_with_status(stream, Some(code.as_bytes()), b"m");
        pair.drive();
        assert_eq!(pair.statuses(), [status(stream, level, &format!("NetStream.{code}"), "m")]);
        let close =
            ClientEvent::Call { stream, name: Bytes::from_static(b"close"), args: Vec::new() };
        assert_eq!(pair.client_events.last(), Some(&close));
        pair.client.close_stream(stream);
        pair.drive();
        assert_eq!(pair.events, [], "it was over already");
    }
}

#[test]
fn sta_17_seek_needs_a_number() {
    let (mut pair, stream) = Pair::with_stream();
    play(&mut pair, stream, "s");
    pair.forget();
    pair.client.stream_command(stream, "seek", &["1000".into()]).expect("fits");
    pair.drive();
    let text = "s seek operation must pass in argument a milliseconds position time";
    let expected = status(stream, "error", "NetStream.Seek.InvalidTime", text);
    assert_eq!(pair.statuses(), [expected]);
    pair.forget();
    pair.client.stream_command(stream, "seek", &[1000.0.into()]).expect("fits");
    pair.drive();
    let expected = status(stream, "status", "NetStream.Seek.Notify", "Seeking s");
    assert_eq!(pair.statuses(), [expected]);
    assert_eq!(pair.events, [Event::Seek { stream, position_ms: 1000.0 }]);
}
