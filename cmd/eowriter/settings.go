package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/spf13/viper"
)

// applySettings gives flags that are not on the command line their value from the environment or the --config file.
func applySettings(cmd *cobra.Command) error {
	file := viper.New()
	env := viper.New()
	env.SetEnvPrefix("eowriter")
	env.SetEnvKeyReplacer(strings.NewReplacer("-", "_"))
	env.AutomaticEnv()

	config := cmd.Flags().Lookup("config")
	path := config.Value.String()
	if !config.Changed {
		path = env.GetString("config")
	}
	if path != "" {
		file.SetConfigFile(path)
		file.SetConfigType("yaml")
		if err := file.ReadInConfig(); err != nil {
			return usagef("--config: %w", err)
		}
		if err := checkKeys(cmd.Root(), file.AllSettings()); err != nil {
			return usagef("--config %s: %w", path, err)
		}
	}
	section := file.Sub(strings.ReplaceAll(strings.TrimPrefix(cmd.CommandPath(), "eowriter "), " ", "."))
	var first error
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if f.Changed || f.Name == "config" || f.Name == "help" || f.Name == "version" {
			return
		}
		for _, from := range []*viper.Viper{env, section, file} {
			if from == nil || !from.IsSet(f.Name) {
				continue
			}
			if err := setFlag(cmd.Flags(), f, from); err != nil && first == nil {
				first = usagef("%s (from a variable or the --config file): %w", f.Name, err)
			}
			return
		}
	})
	return first
}

func setFlag(flags *pflag.FlagSet, f *pflag.Flag, from *viper.Viper) error {
	if list, ok := f.Value.(pflag.SliceValue); ok {
		f.Changed = true
		return list.Replace(from.GetStringSlice(f.Name)) // a variable's value is split at white space
	}
	return flags.Set(f.Name, from.GetString(f.Name))
}

// checkKeys finds a key that is neither a flag nor a subcommand: a typing error would go unnoticed otherwise.
func checkKeys(cmd *cobra.Command, keys map[string]any) error {
	for key, value := range keys {
		if isFlag(cmd, key) {
			continue
		}
		sub, _, err := cmd.Find([]string{key})
		section, ok := value.(map[string]any)
		if err != nil || sub == cmd || !ok {
			return fmt.Errorf("%q is neither a flag nor a command with flags below it", key)
		}
		if err := checkKeys(sub, section); err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
	}
	return nil
}

// isFlag says whether cmd or a subcommand has such a flag.
func isFlag(cmd *cobra.Command, name string) bool {
	if cmd.Flags().Lookup(name) != nil {
		return true
	}
	for _, sub := range cmd.Commands() {
		if isFlag(sub, name) {
			return true
		}
	}
	return false
}
