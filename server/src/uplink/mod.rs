//! The party beyond one process: an **origin** decodes, encodes and stamps; **edges** follow it and serve listeners.
//!
//! An edge gets the origin's chunks as they are, keeps an estimate of the origin's clock, and answers its listeners in
//! that time. Workers on one machine are edges as well.
//!
//! | module | does | touches |
//! |---|---|---|
//! | `wire` | what the two say to each other | pure |
//! | `origin` | what an origin answers, and who follows it | pure |
//! | `follower` | an edge's side: what to ask, what to publish, what time it is | pure |
//! | `figures` | figures of the sound on their way to edges | pure |
//! | `pictures` | which pictures an edge asks for | pure |
//! | `players` | the players of all processes | pure |
//! | `lanes` | an edge's chunks: which formats, for how long, what is published | pure |
//! | `reassembly` | chunks in order, holes asked for again | pure |
//! | `endpoint` | addresses, and which of them are safe | names |
//! | `transport` | the above over Zenoh | sockets, threads, clock |
//!
//! What is said, and when:
//!
//! - An edge **reports** every 0.8 s and when something changes: who it is, how many listen, and which edition of the
//!   party's state it has. The **answer** says how many listen elsewhere, how many chunks there are, and the state if the
//!   edge has an old one. An origin that does not answer is away; an edge that does not report is gone.
//! - **State** is pushed when it changes, **chunks** when they are made, in the formats that some edge subscribes to.
//! - Whatever is missing is **fetched**: what was made before the edge came, and what got lost on the way.
//! - **Figures** of the sound are computed by the origin while somebody anywhere wants them, and sent to the edges whose
//!   listeners do, two seconds before they are heard. One that gets lost is missed.
//! - **Pictures** are asked for by their names, which the state has. An edge draws none: what it gets is what the origin drew,
//!   and its name and colours follow from its bytes.
//! - **Players** are told of in reports and answers: how loud those of an edge are, and of all others; their lists while
//!   somebody looks. What is asked of them goes to the origin as a command, and from there to all as a call. Reports and
//!   answers say after how many calls they are true: what was so before a call is not heard after it.
//! - The **clock** is asked as a player asks it.

pub(crate) mod endpoint;
pub(crate) mod figures;
pub(crate) mod follower;
pub(crate) mod lanes;
pub(crate) mod origin;
pub(crate) mod pictures;
pub(crate) mod players;
pub(crate) mod reassembly;
pub(crate) mod transport;
pub(crate) mod wire;
