//! Every built-in name of the script API, once (spec sections 4 and 11).
//!
//! The prelude checks its classes against this table when the engine starts, so that no name is
//! forgotten.

/// What a name is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Read-only value.
    Value,
    /// Value that scripts may set.
    Writable,
    /// Method.
    Method,
    /// Function that scripts define and the engine calls.
    Event,
}

impl Kind {
    /// The word that the prelude uses.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Value => "value",
            Self::Writable => "writable",
            Self::Method => "method",
            Self::Event => "event",
        }
    }
}

/// Names of one class of objects that share kind and origin: class, kind, spec ID, names.
pub(crate) type Row = (&'static str, Kind, &'static str, &'static [&'static str]);

use Kind::{Event, Method, Value, Writable};

/// Members that every collection has (ITR-*).
const COLLECTION: &[&str] = &["pairs", "ipairs"];

/// The table.
pub(crate) const NAMES: &[Row] = &[
    ("mona", Value, "MON-01..06", &["servers", "groups", "publications", "configs"]),
    ("mona", Value, "MON-05..07, 30", &["environment", "clients", "epochTime", "arguments"]),
    ("mona", Value, "MON-05", &["environments"]),
    ("mona", Method, "MON-08..10", &["time", "absolutePath", "publish"]),
    (
        "mona",
        Method,
        "MON-11..14, 21",
        &["join", "joinGroup", "toAMF", "toAMF0", "fromAMF", "split"],
    ),
    (
        "mona",
        Method,
        "MON-15..18",
        &["toJSON", "fromJSON", "toXML", "fromXML", "toXMLRPC", "fromXMLRPC"],
    ),
    ("mona", Method, "MON-19, 20", &["toQuery", "fromQuery", "md5", "sha256"]),
    ("mona", Method, "MON-22", &["listPaths", "files"]),
    ("mona", Method, "MON-24", &["addToBlacklist", "removeFromBlacklist"]),
    ("mona", Method, "MON-23", &["dump"]),
    ("mona", Method, "MON-25", &["createTCPClient", "createTCPServer", "createUDPSocket"]),
    ("mona", Method, "MON-26", &["sendMail"]),
    ("mail", Event, "MON-26", &["onSent"]),
    ("mona", Method, "MON-27", &["createIPAddress", "createIPAddressWithDNS"]),
    ("mona", Method, "MON-28", &["createSocketAddress", "createSocketAddressWithDNS"]),
    ("mona", Method, "MON-29", &["createMediaWriter"]),
    ("mediawriter", Method, "MON-29", &["write"]),
    ("client", Value, "CLI-01..06", &["address", "rawId", "id", "path", "query", "protocol"]),
    (
        "client",
        Value,
        "CLI-07..10, 12",
        &["ping", "lastReceptionTime", "writer", "properties", "parameters"],
    ),
    ("client", Event, "CLI-30, 31", &["onMessage", "onJoinGroup", "onUnjoinGroup"]),
    ("client", Event, "CLI-33..36", &["onPublish", "onUnpublish", "onSubscribe", "onUnsubscribe"]),
    ("client", Event, "CLI-37..41", &["onAddressChanged", "onManage", "onRead", "onWrite"]),
    (
        "writer",
        Method,
        "WRI-01..04",
        &["writeInvocation", "writeMessage", "writeRaw", "writeStatusResponse"],
    ),
    ("writer", Method, "WRI-05..07", &["flush", "newFlowWriter", "newWriter", "close"]),
    ("writer", Writable, "WRI-08", &["reliable"]),
    ("writer", Event, "WRI-09", &["onManage"]),
    ("writer", Value, "WRI-10", &["qos"]),
    ("groups", Method, "GRS-01, ITR-02", &["join", "pairs", "ipairs"]),
    ("groups", Value, "GRS-02", &["count"]),
    ("group", Value, "GRP-01..05", &["rawId", "id", "members", "count"]),
    ("group", Method, "GRP-05, ITR-05", &["size", "pairs", "ipairs"]),
    ("members", Method, "ITR-05", COLLECTION),
    ("members", Value, "ITR-05", &["count"]),
    ("member", Method, "MEM-01", &["release"]),
    ("member", Value, "MEM-02", &["id", "rawId"]),
    ("qos", Value, "QOS-01..03", &["byteRate", "lostRate", "latency"]),
    ("qos", Value, "QOS-04, 05", &["congestionRate", "droppedFrames", "lastSendingTime"]),
    ("publications", Method, "ITR-03", COLLECTION),
    ("publications", Value, "ITR-03", &["count"]),
    (
        "publication",
        Value,
        "PUB-01, 10..13",
        &["name", "listeners", "publisherId", "publisher", "running"],
    ),
    ("publication", Value, "PUB-11", &["audioQOS", "videoQOS", "dataQOS"]),
    ("publication", Value, "PUB-14, 15", &["lastTime", "droppedFrames", "properties"]),
    (
        "publication",
        Method,
        "PUB-02..05, 09",
        &["pushVideo", "pushAudio", "pushData", "close", "flush"],
    ),
    ("publication", Event, "PUB-06..08", &["onVideo", "onAudio", "onData"]),
    ("publication", Method, "PUB-16", &["writeProperties", "clearProperties"]),
    ("publication", Event, "PUB-17", &["onProperties", "onFlush"]),
    (
        "publication",
        Method,
        "PUB-18",
        &["pushAMFData", "pushAMF0Data", "pushJSONData", "pushXMLRPCData"],
    ),
    ("publication", Method, "PUB-21", &["pushAudioPacket", "pushVideoPacket", "pushDataPacket"]),
    ("publication", Event, "PUB-25", &["onAudioPacket", "onVideoPacket", "onDataPacket"]),
    ("listeners", Method, "ITR-06", COLLECTION),
    ("listeners", Value, "ITR-06", &["count"]),
    ("listener", Value, "LIS-01..03", &["publication", "client", "id"]),
    ("listener", Value, "LIS-04, 07", &["audioQOS", "videoQOS", "dataQOS", "parameters"]),
    ("listener", Writable, "LIS-05", &["receiveAudio", "receiveVideo"]),
    ("listener", Writable, "LIS-06", &["audioSampleAccess", "videoSampleAccess"]),
    ("servers", Value, "SVS-01, 05", &["count", "initiators", "targets"]),
    ("servers", Method, "SVS-03..05", &["broadcast", "call", "pairs", "ipairs"]),
    ("server", Value, "SRV-01..03", &["isTarget", "address", "host"]),
    ("server", Value, "SRV-08, 09", &["configs", "port"]),
    ("server", Method, "SRV-05, 10", &["send", "reject"]),
    ("clients", Method, "ITR-04", COLLECTION),
    ("clients", Value, "ITR-04", &["count"]),
    ("data", Method, "ITR-10", COLLECTION),
    ("data", Value, "DAT-06", &["count"]),
    ("view", Method, "ITR-08", COLLECTION),
    ("view", Value, "ITR-08", &["count"]),
    ("children", Method, "ITR-09", COLLECTION),
    ("children", Value, "ITR-09", &["count"]),
    (
        "file",
        Value,
        "FIL-01..03",
        &["name", "baseName", "extension", "size", "lastModified", "isDirectory"],
    ),
    (
        "file",
        Value,
        "FIL-03..05",
        &["isFolder", "fullPath", "path", "value", "parent", "isAbsolute"],
    ),
    ("ipaddress", Value, "IPA-01", &["value"]),
    (
        "ipaddress",
        Value,
        "IPA-02",
        &["isWildcard", "isBroadcast", "isAnyBroadcast", "isLoopback", "isMulticast", "isUnicast"],
    ),
    (
        "ipaddress",
        Value,
        "IPA-02",
        &["isLinkLocal", "isSiteLocal", "isIPv4Compatible", "isIPv4Mapped", "isLocal", "isIPv6"],
    ),
    (
        "ipaddress",
        Value,
        "IPA-02",
        &["isWellKnownMC", "isNodeLocalMC", "isLinkLocalMC", "isSiteLocalMC", "isOrgLocalMC"],
    ),
    ("ipaddress", Value, "IPA-02", &["isGlobalMC"]),
    ("socketaddress", Value, "SKA-01", &["host", "port", "isIPv6", "value"]),
    ("tcpclient", Method, "TCC-01, 02", &["connect", "disconnect", "send"]),
    ("tcpclient", Value, "TCC-03", &["connected", "address", "peerAddress", "idleTime", "error"]),
    ("tcpclient", Event, "TCC-04, 05", &["onData", "onReception", "onDisconnection"]),
    ("tcpserver", Method, "TCS-01", &["start", "stop"]),
    ("tcpserver", Value, "TCS-01", &["address", "running"]),
    ("tcpserver", Event, "TCS-02", &["onConnection"]),
    ("udpsocket", Method, "UDP-01..03", &["bind", "connect", "send", "disconnect", "close"]),
    ("udpsocket", Value, "UDP-03", &["address", "peerAddress"]),
    ("udpsocket", Event, "UDP-04", &["onPacket", "onReception"]),
    ("bytereader", Method, "BIO-02", &["readBoolean", "readByte", "readBytes", "readDouble"]),
    ("bytereader", Method, "BIO-02", &["readFloat", "readInt", "readMultiByte", "readShort"]),
    (
        "bytereader",
        Method,
        "BIO-02",
        &["readUnsignedByte", "readUnsignedInt", "readUnsignedShort", "readUTF", "readUTFBytes"],
    ),
    ("bytereader", Method, "BIO-02", &["readAMF"]),
    ("bytewriter", Method, "BIO-03", &["writeBoolean", "writeByte", "writeBytes", "writeDouble"]),
    ("bytewriter", Method, "BIO-03", &["writeFloat", "writeInt", "writeMultiByte", "writeShort"]),
    (
        "bytewriter",
        Method,
        "BIO-03",
        &["writeUnsignedInt", "writeUTF", "writeUTFBytes", "writeAMF"],
    ),
];

#[cfg(test)]
mod tests {
    use super::NAMES;
    use std::collections::HashMap;

    #[test]
    fn a_name_of_a_class_has_one_meaning() {
        let mut seen = HashMap::new();
        for (class, kind, spec, names) in NAMES {
            for name in *names {
                let before = seen.insert((class, name), (kind, spec));
                assert_eq!(before, None, "{class}.{name} stands twice");
            }
        }
    }

    #[test]
    fn what_the_spec_calls_tier_1_is_there() {
        let has = |class: &str, name: &str| {
            NAMES.iter().any(|(c, _, _, names)| *c == class && names.contains(&name))
        };
        for name in ["servers", "groups", "publications", "configs", "publish", "join"] {
            assert!(has("mona", name), "mona.{name}");
        }
        for name in ["pushVideo", "pushAudio", "pushData", "close", "name"] {
            assert!(has("publication", name), "publication.{name}");
        }
    }
}
