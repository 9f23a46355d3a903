//! What the node tells clients of Flash's protocols: commands of NetConnection.

use ramona_rtmp::{CloseKind, NetConnection, RejectCode};
use ramona_script::{CallOutcome, ClientMessage, Refusal};
use tracing::warn;

use super::Reply;

/// Tells it through the commands' state machine.
pub(crate) fn say(machine: &mut NetConnection, reply: Reply) {
    match reply {
        Reply::ConnectAccepted(info) => machine.accept_connect(&info),
        Reply::ConnectRefused(Refusal::Rejected(text)) => {
            machine.reject_connect(RejectCode::Rejected, &text);
        }
        Reply::ConnectRefused(Refusal::InvalidApp(text)) => {
            machine.reject_connect(RejectCode::InvalidApp, &text);
        }
        Reply::ConnectRefused(Refusal::Failed(text)) => {
            machine.reject_connect(RejectCode::Failed, &text);
        }
        Reply::Called { transaction, outcome } => match outcome {
            CallOutcome::Values(values) | CallOutcome::Raw(values) => {
                if let Err(error) = machine.answer_call(transaction, &values) {
                    warn!(%error, "result of a call not sent");
                    machine.fail_call(transaction, b"the result is too long");
                }
            }
            CallOutcome::Nothing => {
                machine.leave_call(transaction);
            }
            CallOutcome::Unknown(text) => {
                if !machine.leave_call(transaction) {
                    machine.fail_call(transaction, &text);
                }
            }
            CallOutcome::Failed(text) => machine.fail_call(transaction, &text),
        },
        Reply::Written { transaction, message } => write(machine, transaction, message),
        Reply::Close(code) => machine.close(match code {
            0 => CloseKind::Normal,
            1 => CloseKind::IdleTimeout,
            _ => CloseKind::AppShutdown,
        }),
        Reply::Shutdown => machine.close(CloseKind::AppShutdown),
        Reply::PublishAccepted(stream) => machine.accept_publish(stream),
        Reply::PublishRefused(stream, refusal) => machine.refuse_publish(stream, &refusal),
        // The welcome tells whether it runs and brings the cached group.
        Reply::PlayAccepted { stream, audio, video } => {
            machine.accept_play(stream, false, audio, video);
        }
        Reply::SampleAccess { stream, audio, video } => {
            machine.change_sample_access(stream, audio, video);
        }
        Reply::PlayRefused(stream, text) => machine.refuse_play(stream, &text),
        Reply::PublicationClosed { stream, status } => {
            let (code, text) = status.unzip();
            let text = text.unwrap_or_default();
            machine.close_stream_with_status(stream, code.as_deref(), &text);
        }
    }
}

/// What a script wrote; `transaction` is of the call that it handled.
fn write(machine: &mut NetConnection, transaction: Option<f64>, message: ClientMessage) {
    // A call of transaction 0 expects no answer.
    let transaction = transaction.filter(|transaction| *transaction != 0.0);
    let sent = match message {
        ClientMessage::Invocation { name, args, .. } => machine.invoke(&name, &args),
        ClientMessage::Message { values, .. } => match transaction {
            Some(transaction) => machine.answer_call(transaction, &values),
            None => machine.write_message(&values),
        },
        ClientMessage::Raw { data } => machine.write_raw(&data),
        // Only clients of HTTP have cookies.
        ClientMessage::Cookie { .. } => Ok(()),
        ClientMessage::Status { code, description } => {
            machine.status(transaction, &code, &description);
            Ok(())
        }
    };
    if let Err(error) = sent {
        warn!(%error, "message of a script not sent");
    }
}
