package main

import (
	"fmt"
	"runtime/debug"
	"strings"
)

// version is what --version says after the name.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	return versionOf(info)
}

// versionOf is the module's version, the commit that the program was built from, whether files had been changed, and who compiled
// it, as far as the build knows.
func versionOf(info *debug.BuildInfo) string {
	settings := map[string]string{}
	for _, s := range info.Settings {
		settings[s.Key] = s.Value
	}
	var details []string
	if commit := settings["vcs.revision"]; commit != "" {
		details = append(details, "commit "+commit)
	}
	if settings["vcs.modified"] == "true" {
		details = append(details, "with changes since")
	}
	compiler := info.GoVersion
	if os := settings["GOOS"]; os != "" {
		compiler += " " + os + "/" + settings["GOARCH"]
	}
	return fmt.Sprintf("%s (%s)", info.Main.Version, strings.Join(append(details, compiler), ", "))
}
