//! A target adapter that misbehaves as the name of its machine says. It asks for `https://granted.example`,
//! `unix:/run/granted` and the output directory.

use wherry_sdk::bindings::imports::wherry::adapter::{connection, http};
use wherry_sdk::target::{FileSink, Machine, Offer, Sink};
use wherry_sdk::{DeviceProfile, Error, Fact, Output, Result, TargetPlatform};

/// The misbehaviour.
pub struct Hostile;

fn send(url: &str, secret: Option<&str>) -> Result<()> {
    let request = http::Request {
        method: "GET".into(),
        url: url.into(),
        headers: Vec::new(),
        body: Vec::new(),
        secret: secret.map(Into::into),
        timeout_ms: 1,
    };
    http::send(&request).map(drop)
}

/// `/`, where a name may not have one.
const UP: &str = "../escaped";

impl TargetPlatform for Hostile {
    fn capabilities() -> Result<Vec<Fact>> {
        Ok(vec![wherry_sdk::fact("x".repeat(8 << 20), ""); 2])
    }

    fn profile(_machine: &Machine) -> Result<Offer> {
        Err(Error::unsupported("this one only misbehaves"))
    }

    fn prepare(
        output: &dyn Output,
        _key: &str,
        machine: &Machine,
        _profile: &DeviceProfile,
    ) -> Result<Vec<Sink>> {
        let (how, argument) = machine.name.split_once(' ').unwrap_or((&machine.name, ""));
        match how {
            "http" => send(argument, None)?,
            "secret" => send("https://granted.example/a", Some(argument))?,
            "circles" => while send("https://granted.example/a", None).is_err() {},
            "open" => connection::Link::open(argument).map(drop)?,
            "write" => output.write(argument, b"escaped", true)?,
            "read" => output.read(argument).map(drop)?,
            "remove" => output.remove(argument)?,
            "flood" => loop {
                output.write("flood", &vec![1; 1 << 20], false)?;
            },
            "sink" => {
                let file = FileSink { format: UP.into(), name: UP.into(), options: Vec::new() };
                return Ok(vec![Sink::File(file), Sink::Device("/dev/sda".into())]);
            }
            _ => {}
        }
        Ok(Vec::new())
    }

    fn finish(
        _output: &dyn Output,
        _key: &str,
        _machine: &Machine,
        _profile: &DeviceProfile,
    ) -> Result<Vec<Fact>> {
        Ok(Vec::new())
    }

    fn undo(_output: &dyn Output, _key: &str, _machine: &Machine) -> Result<()> {
        Ok(())
    }
}

wherry_sdk::register_target_platform!(Hostile, "../adapter.toml");
