// Package store is the state file: one sealed record per entry, kept across restarts.
//
// Two files make it up. What is acknowledged stands in the write-ahead file, <path>.wal, with one fsync; a bbolt database, <path>, takes it over in
// the background, many changes at a time and in place. bbolt alone needs two fsyncs and some scattered pages for each commit, so that
// a request would wait more than twice as long, and 64 at once ten times.
//
// Nothing in either can be read without the key: a record's key is an HMAC of its id, its value is sealed together with the format version,
// the bucket and that key, so that no record can be passed off as another. What shows is how many records there are and how long each
// is. bbolt leaves old bytes in free pages until it uses them again; being sealed, they may stay. Someone who can write to the files can
// bring back an old record or remove one, but not make one.
package store
