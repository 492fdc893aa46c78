// Package seal holds the keys of the state file: where they come from, and how records are sealed with them.
package seal
