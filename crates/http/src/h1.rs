//! HTTP/1 (RFC 9112), own codec.
#![allow(dead_code, unused_variables, clippy::unused_self, missing_docs, reason = "signatures first")]

use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use http::HeaderMap;
use leno_model::failure::Failure;

use crate::drain::Drain;
use crate::exchange::{self, Answer, Exchange, Frame, Progress, Unsent};
use crate::head::{RequestHead, ResponseHead};
use crate::io::Io;
use crate::server::Config;

#[derive(Debug)]
pub struct Incoming;
#[derive(Debug)]
pub struct Outgoing;
#[derive(Debug)]
pub struct Reply;
#[derive(Debug)]
pub struct Response;
#[derive(Debug)]
pub struct ServerConnection;
#[derive(Debug)]
pub struct ClientConnection;

impl Incoming {
    pub(crate) fn is_ended(&self) -> bool {
        false
    }
    pub(crate) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Frame> {
        Poll::Ready(Frame::Abort(Failure::Internal))
    }
}
impl Outgoing {
    pub(crate) fn is_finished(&self) -> bool {
        false
    }
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Err(Failure::Internal))
    }
    pub(crate) fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Err(Failure::Internal))
    }
    pub(crate) fn data(&mut self, data: Bytes) -> Result<(), Failure> {
        Err(Failure::Internal)
    }
    pub(crate) fn trailers(&mut self, trailers: &HeaderMap) {}
    pub(crate) fn finish(&mut self) {}
    pub(crate) fn abort(self, failure: Failure) {}
}
impl Reply {
    pub(crate) async fn informational(&mut self, head: &ResponseHead) -> Result<(), Failure> {
        Err(Failure::Internal)
    }
    pub(crate) fn head(self, head: &ResponseHead) -> Outgoing {
        Outgoing
    }
    pub(crate) fn abort(self, failure: Failure) {}
    pub(crate) fn close_after(&mut self) {}
    pub(crate) fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<Failure> {
        Poll::Ready(Failure::Internal)
    }
}
impl Response {
    pub(crate) fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<Answer, Failure>> {
        Poll::Ready(Err(Failure::Internal))
    }
    pub(crate) fn progress(&self) -> Progress {
        Progress::NotSent
    }
}
impl ServerConnection {
    pub fn new(io: Box<dyn Io>, config: Rc<Config>) -> Self {
        Self
    }
    pub async fn accept(&mut self) -> Option<Exchange> {
        None
    }
    pub fn drain_handle(&self) -> Drain {
        Drain::default()
    }
}
impl ClientConnection {
    pub fn new(io: Box<dyn Io>, config: Rc<crate::client::Config>) -> Self {
        Self
    }
    pub fn send(&mut self, head: &RequestHead) -> Result<(exchange::Outgoing, exchange::Response), Unsent> {
        Err(Unsent { failure: Failure::Internal, progress: Progress::NotSent })
    }
    pub fn is_reusable(&mut self) -> bool {
        false
    }
    pub fn idle_since(&self) -> Option<Instant> {
        None
    }
}
