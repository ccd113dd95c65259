"""The commands of `hdnet`, a module each; libraries load when one runs."""
