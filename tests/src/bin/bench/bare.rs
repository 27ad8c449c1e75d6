//! The bare server: the gateway's TLS and the gateway's hyper, and a constant where the gateway would think.

use std::convert::Infallible;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response, body::Incoming};
use hyper_util::rt::TokioIo;
use nicgate::http::connection::protocol;
use nicgate::http::tls::{Certificate, server_config};
use tokio_rustls::TlsAcceptor;

use crate::laboratory::CONSTANT;

/// Serves with the certificate in `folder` until it is killed.
pub(crate) fn serve(folder: &Path) -> ExitCode {
    let certificate = Certificate::open(&folder.join("server.crt"), &folder.join("server.key"));
    let config = server_config(certificate.expect("the laboratory has a certificate")).expect("ring speaks TLS");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        let address = listener.local_addr().expect("a listener has an address");
        eprintln!("{{\"event\":\"started\",\"https\":\"{address}\"}}");
        loop {
            let Ok((stream, _)) = listener.accept().await else { continue };
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let _ = stream.set_nodelay(true);
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let _ = protocol().serve_connection(TokioIo::new(stream), service_fn(answer)).await;
            });
        }
    })
}

async fn answer(_: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let mut response = Response::new(Full::new(Bytes::from_static(CONSTANT.as_bytes())));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    Ok(response)
}
