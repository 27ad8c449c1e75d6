//! Where the configuration file is, when nobody names it.

use std::path::PathBuf;

use super::Mistakes;
use crate::platform;

/// The first of `./nicgate-client.toml`, the user's own and the system's place that exists. Root and administrators do
/// not look into the folder they happen to be in: anybody may have put a file there.
///
/// # Errors
/// When there is none: where one was looked for.
pub fn locate(environment: &dyn Fn(&str) -> Option<String>) -> Result<PathBuf, Mistakes> {
    let places = places(environment, platform::is_elevated());
    match places.iter().find(|place| place.is_file()) {
        Some(place) => Ok(place.clone()),
        None => {
            let looked: Vec<String> = places.iter().skip(1).map(|place| place.display().to_string()).collect();
            let nor = if looked.is_empty() { String::new() } else { format!(", nor {}", looked.join(" nor ")) };
            let what = format!("is not there{nor}; name a file with --config FILE");
            Err(Mistakes::of_file(&places[0], &what))
        }
    }
}

/// The places in order. Never empty.
fn places(environment: &dyn Fn(&str) -> Option<String>, is_elevated: bool) -> Vec<PathBuf> {
    let mut places = Vec::new();
    if !is_elevated {
        places.push(PathBuf::from("nicgate-client.toml"));
    }
    places.extend(platform::own_folder(environment).map(|folder| folder.join("client.toml")));
    places.push(platform::system_folder().join("client.toml"));
    places
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn the_users_own_file_comes_before_the_systems() {
        let looked = |pairs: &'static [(&'static str, &'static str)], is_elevated| {
            let environment =
                move |name: &str| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
            places(&environment, is_elevated).iter().map(|place| place.display().to_string()).collect::<Vec<_>>()
        };
        let of = |pairs| looked(pairs, false);
        let (here, system) = ("nicgate-client.toml", "/etc/nicgate/client.toml");
        assert_eq!(of(&[]), [here, system]);
        assert_eq!(of(&[("HOME", "/home/a")]), [here, "/home/a/.config/nicgate/client.toml", system]);
        assert_eq!(of(&[("HOME", "/home/a"), ("XDG_CONFIG_HOME", "/x")]), [here, "/x/nicgate/client.toml", system]);
        assert_eq!(of(&[("HOME", "/home/a"), ("XDG_CONFIG_HOME", "")])[1], "/home/a/.config/nicgate/client.toml");
        assert_eq!(looked(&[], true), [system], "an administrator takes nothing that lies about");
        assert_eq!(looked(&[("HOME", "/home/a")], true), ["/home/a/.config/nicgate/client.toml", system]);
    }
}
