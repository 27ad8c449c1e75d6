//! Where the configuration file is, when nobody names it.

use std::path::PathBuf;

use super::Mistakes;
use crate::platform;

/// The first of `./nicgate-client.toml`, the user's own and the system's place that exists.
///
/// # Errors
/// When there is none: where one was looked for.
pub fn locate(environment: &dyn Fn(&str) -> Option<String>) -> Result<PathBuf, Mistakes> {
    let places = places(environment);
    match places.iter().find(|place| place.is_file()) {
        Some(place) => Ok(place.clone()),
        None => {
            let looked: Vec<String> = places.iter().skip(1).map(|place| place.display().to_string()).collect();
            let what = format!("is not there, nor {}; name a file with --config FILE", looked.join(" nor "));
            Err(Mistakes::of_file(&places[0], &what))
        }
    }
}

/// The places in order. Never empty.
fn places(environment: &dyn Fn(&str) -> Option<String>) -> Vec<PathBuf> {
    let mut places = vec![PathBuf::from("nicgate-client.toml")];
    places.extend(platform::own_folder(environment).map(|folder| folder.join("client.toml")));
    places.push(platform::system_folder().join("client.toml"));
    places
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn the_users_own_file_comes_before_the_systems() {
        let of = |pairs: &'static [(&'static str, &'static str)]| {
            let environment =
                move |name: &str| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
            places(&environment).iter().map(|place| place.display().to_string()).collect::<Vec<_>>()
        };
        let (here, system) = ("nicgate-client.toml", "/etc/nicgate/client.toml");
        assert_eq!(of(&[]), [here, system]);
        assert_eq!(of(&[("HOME", "/home/a")]), [here, "/home/a/.config/nicgate/client.toml", system]);
        assert_eq!(of(&[("HOME", "/home/a"), ("XDG_CONFIG_HOME", "/x")]), [here, "/x/nicgate/client.toml", system]);
        assert_eq!(of(&[("HOME", "/home/a"), ("XDG_CONFIG_HOME", "")])[1], "/home/a/.config/nicgate/client.toml");
    }
}
