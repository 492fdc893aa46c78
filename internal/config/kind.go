package config

import (
	"math"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"
)

// kind is what a key's value may be.
type kind struct {
	want    string                  // completes "must be ..."
	example string                  // a value as it is written in a file
	zero    any                     // what an absent key means; also its type
	read    func(value) (any, bool) // false: not such a value
	says    string                  // Vault's own words for a wrong value, of the key and the value; "" means ours
	json    object                  // what JSON Schema says of it: all that read takes, and little more
}

// The kinds of the language. Their readings follow Vault's parseutil and hcl decoder.
var (
	text     = kind{want: "text", example: `"..."`, zero: "", read: readText, json: jsonText}
	texts    = kind{want: "a list of texts", example: `["..."]`, zero: []string(nil), read: readTexts, json: jsonTexts}
	boolean  = kind{want: "true or false", example: "true", zero: false, read: readBool, json: jsonBool}
	whole    = kind{want: "a whole number", example: "5", zero: 0, read: readWhole, json: jsonWhole}
	count    = kind{want: "a whole number of zero or more", example: "5", zero: 0, read: readCount, json: jsonCount}
	duration = kind{want: "a duration of zero or more", example: `"30s"`, zero: time.Duration(0), read: readDuration, json: jsonDuration}
	backoff  = kind{want: "a duration", example: `"30s"`, zero: time.Duration(0), read: readSignedDuration, json: jsonBackoff}
	interval = kind{want: "a duration above zero", example: `"1m"`, zero: time.Duration(0), read: readInterval, json: jsonInterval}
	size     = kind{want: "a number of bytes", example: `"1MiB"`, zero: int64(0), read: readSize, json: jsonSize}
	limit    = kind{want: "a number of bytes, or -1 for no limit", example: `"32MiB"`, zero: int64(0), read: readLimit, json: jsonLimit}
	share    = kind{want: "a share from 0 up to, but not, 1", example: "0.67", zero: 0.0, read: readShare, json: jsonShare}
	perSec   = kind{want: "a number a second, or -1 for no limit", example: "100", zero: 0.0, read: readRate, json: jsonPerSec}
	fileMode = kind{want: "octal permission bits up to 0777", example: `"0640"`, zero: writtenMode{}, read: readMode, json: jsonFileMode}
	networks = kind{want: "a list of IP addresses and CIDR blocks", example: `["10.0.0.0/8"]`, zero: []string(nil), read: readNetworks, json: jsonTexts}
	account  = kind{want: "a name or a number", example: `"app"`, zero: "", read: readAccount, json: jsonAccount}
	tokenUse = kind{want: `true, false or "force"`, example: "true", zero: Never, read: readTokenUse, json: jsonTokenUse, says: "value of '%s' can be either true/false/force, %s is an invalid option"}
	anything = kind{read: func(v value) (any, bool) { return v.data, true }, json: jsonAnything}
)

// oneOf is a text out of words; the first is the default. Case does not count.
func oneOf(words ...string) kind {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = strconv.Quote(w)
	}
	read := func(v value) (any, bool) {
		s, _ := v.data.(string)
		for _, w := range words {
			if strings.EqualFold(s, w) {
				return w, true
			}
		}
		return nil, false
	}
	return kind{want: strings.Join(quoted, " or "), example: quoted[0], zero: words[0], read: read, json: jsonWords(words...)}
}

func readText(v value) (any, bool) {
	s, ok := v.data.(string)
	return s, ok
}

// readTexts takes a list, or one text with commas.
func readTexts(v value) (any, bool) {
	var list []string
	switch data := v.data.(type) {
	case string:
		list = strings.Split(data, ",")
	case []value:
		for _, v := range data {
			s, ok := v.data.(string)
			if !ok {
				return nil, false
			}
			list = append(list, s)
		}
	default:
		return nil, false
	}
	var named []string
	for _, s := range list {
		if s = strings.TrimSpace(s); s != "" {
			named = append(named, s)
		}
	}
	return named, true
}

// readNetworks takes a list as readTexts does, of IP addresses and CIDR blocks.
func readNetworks(v value) (any, bool) {
	list, ok := readTexts(v)
	if !ok {
		return nil, false
	}
	for _, s := range list.([]string) {
		if _, err := netip.ParseAddr(s); err == nil {
			continue
		}
		if _, err := netip.ParsePrefix(s); err != nil {
			return nil, false
		}
	}
	return list, true
}

// readBool takes what Vault takes: booleans, their usual spellings as text, "" for false, and any number that is not 0 for true.
func readBool(v value) (any, bool) {
	switch data := v.data.(type) {
	case bool:
		return data, true
	case number:
		n, err := strconv.ParseInt(string(data), 0, 64)
		return n != 0, err == nil
	case string:
		if data == "" {
			return false, true
		}
		b, err := strconv.ParseBool(data)
		return b, err == nil
	default:
		return nil, false
	}
}

// readWhole takes numbers, with 0x or a leading 0 for other bases, and the same as text.
func readWhole(v value) (any, bool) {
	var written string
	switch data := v.data.(type) {
	case number:
		written = string(data)
	case string:
		written = data
	}
	n, err := strconv.ParseInt(written, 0, strconv.IntSize)
	return int(n), err == nil
}

func readCount(v value) (any, bool) {
	n, ok := readWhole(v)
	return n, ok && n.(int) >= 0
}

func readDuration(v value) (any, bool) {
	d, ok := parseDuration(v)
	return d, ok && d >= 0
}

func readInterval(v value) (any, bool) {
	d, ok := parseDuration(v)
	return d, ok && d > 0
}

func readSignedDuration(v value) (any, bool) { return parseDuration(v) }

// parseDuration takes seconds as a number or a numeric text, Go's durations, whole days ("2d"), and "" for zero.
func parseDuration(v value) (time.Duration, bool) {
	switch data := v.data.(type) {
	case number:
		if n, err := strconv.ParseInt(string(data), 0, 64); err == nil {
			return times(n, time.Second)
		}
		f, err := strconv.ParseFloat(string(data), 64)
		if err != nil || math.Abs(f) > math.MaxInt32 {
			return 0, false
		}
		return times(int64(f), time.Second)
	case string:
		if data == "" {
			return 0, true
		}
		if n, err := strconv.ParseInt(data, 10, 64); err == nil {
			return times(n, time.Second)
		}
		if days, ok := strings.CutSuffix(data, "d"); ok {
			n, err := strconv.ParseInt(days, 10, 64)
			d, fits := times(n, 24*time.Hour)
			return d, err == nil && fits
		}
		d, err := time.ParseDuration(data)
		return d, err == nil
	default:
		return 0, false
	}
}

// times returns n units, and false when they overflow.
func times[T ~int64](n int64, unit T) (T, bool) {
	product := T(n) * unit
	return product, product/unit == T(n)
}

func readSize(v value) (any, bool) {
	n, ok := parseSize(v)
	return n, ok && n >= 0
}

// readShare takes 0.67 as well as "67%".
func readShare(v value) (any, bool) {
	n, percent, ok := parseFloat(v)
	if percent {
		n /= 100
	}
	return n, ok && n >= 0 && n < 1
}

// readRate reads every negative number as 0, no limit.
func readRate(v value) (any, bool) {
	n, percent, ok := parseFloat(v)
	return max(n, 0), ok && !percent
}

func parseFloat(v value) (n float64, percent, ok bool) {
	var written string
	switch data := v.data.(type) {
	case number:
		written = string(data)
	case string:
		written, percent = strings.CutSuffix(strings.TrimSpace(data), "%")
	}
	n, err := strconv.ParseFloat(written, 64)
	return n, percent, err == nil && !math.IsNaN(n) && !math.IsInf(n, 0)
}

// readLimit reads every negative number as -1, no limit, like Vault.
func readLimit(v value) (any, bool) {
	n, ok := parseSize(v)
	return max(n, -1), ok
}

// parseSize takes bytes as a number, or as text with an optional unit.
func parseSize(v value) (int64, bool) {
	switch data := v.data.(type) {
	case number:
		n, err := strconv.ParseInt(string(data), 0, 64)
		return n, err == nil
	case string:
		digits, unit := strings.ToLower(strings.TrimSpace(data)), int64(1)
		for suffix, bytes := range map[string]int64{"kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30} {
			if before, ok := strings.CutSuffix(digits, suffix); ok {
				digits, unit = strings.TrimSpace(before), bytes
				break
			}
		}
		n, err := strconv.ParseInt(digits, 10, 64)
		product, fits := times(n, unit)
		return product, err == nil && fits
	default:
		return 0, false
	}
}

// writtenMode is a file mode together with how it was written, if that looks like a mistake.
type writtenMode struct {
	mode    os.FileMode
	decimal string // the decimal digits of a number that was probably meant to be octal; else ""
}

// readMode takes numbers, where a leading 0 makes them octal, and text, which is always octal.
func readMode(v value) (any, bool) {
	var n uint64
	var err error
	var decimal string
	switch data := v.data.(type) {
	case number:
		n, err = strconv.ParseUint(string(data), 0, 32)
		if data[0] != '0' && looksOctal(string(data)) && !usual(n) {
			decimal = string(data)
		}
	case string:
		n, err = strconv.ParseUint(strings.TrimPrefix(data, "0o"), 8, 32)
	default:
		return nil, false
	}
	return writtenMode{os.FileMode(n), decimal}, err == nil && n <= 0o777
}

// looksOctal reports whether the digits could be those of an octal mode.
func looksOctal(digits string) bool {
	_, err := strconv.ParseUint(digits, 8, 32)
	return err == nil && len(digits) == 3
}

// usual reports whether somebody may have meant mode: whoever has a right may read, and nobody has more rights than who stands before.
// It tells 416, which is 0640, from 400, which is 0620 and was meant to be 0400.
func usual(mode uint64) bool {
	owner, group, other := mode>>6&7, mode>>3&7, mode&7
	for _, rights := range []uint64{owner, group, other} {
		if rights != 0 && rights&4 == 0 {
			return false
		}
	}
	return group&^owner == 0 && other&^group == 0
}

func readAccount(v value) (any, bool) {
	switch data := v.data.(type) {
	case number:
		n, err := strconv.ParseUint(string(data), 0, 32)
		return strconv.FormatUint(n, 10), err == nil
	case string:
		return data, true
	default:
		return nil, false
	}
}

func readTokenUse(v value) (any, bool) {
	if s, ok := v.data.(string); ok && strings.EqualFold(s, "force") {
		return Force, true
	}
	b, ok := readBool(v)
	if b == true {
		return WhenAbsent, ok
	}
	return Never, ok
}
