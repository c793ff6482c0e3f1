#include <gmock/gmock.h>

#include <limits>
#include <random>

#include "audio/synthesis.h"
#include "whimbrel/audio.h"

namespace whimbrel {
namespace {

namespace fs = std::filesystem;
using audio_test::TempFolder;
using audio_test::write_bytes;

constexpr std::int64_t kSecond_us = 1'000'000;
constexpr std::int64_t kMay2019 = 1558466250;  // 2019-05-21 19:17:30 UTC: date -u -d @1558466250

std::string number(std::uint64_t value, int bytes) {
  std::string out;
  for (int i = 0; i < bytes; ++i) out += static_cast<char>(value >> (8 * i) & 0xff);
  return out;
}

std::string chunk(const std::string& id, const std::string& body) {
  return id + number(body.size(), 4) + body + (body.size() % 2 == 1 ? std::string(1, '\0') : "");
}

std::string wave(const std::string& chunks, const std::string& kind = "RIFF") {
  const std::string format =
      chunk("fmt ", number(1, 2) + number(1, 2) + number(8000, 4) + number(16000, 4) + number(2, 2) + number(16, 2));
  return kind + number(4 + format.size() + chunks.size(), 4) + "WAVE" + format + chunks;
}

std::string guano(const std::string& timestamp) {
  return chunk("guan", "GUANO|Version: 1.0\nMake: Some Recorder\nTimestamp: " + timestamp + "\nLength: 3.0\n");
}

std::string comment(const std::string& text) {
  return chunk("LIST", "INFO" + chunk("IART", "AudioMoth 243B1F026488F56E") + chunk("ICMT", text + '\0'));
}

std::string bext(const std::string& date, const std::string& time) {
  std::string body(602, '\0');
  body.replace(0, 7, "a field").replace(320, date.size(), date).replace(330, time.size(), time);
  return chunk("bext", body);
}

const std::string kData = chunk("data", std::string(2000, '\x01'));

/// What is found in a file of these bytes, "<RFC 3339> <source>", or "".
std::string found_in(const std::string& bytes, const std::string& name = "rec.wav") {
  const TempFolder folder;
  write_bytes(folder / name, bytes);
  const auto time = recording_time(folder / name);
  return time ? rfc3339(*time) + ' ' + std::string(to_string(time->source)) : "";
}

std::string of_name(const std::string& name) {
  const auto time = recording_time_from_name(name);
  EXPECT_TRUE(!time || time->source == RecordingTimeSource::file_name);
  return time ? rfc3339(*time) : "";
}

std::string of_guano(const std::string& timestamp) { return found_in(wave(guano(timestamp) + kData)); }
std::string of_comment(const std::string& text) { return found_in(wave(kData + comment(text))); }

TEST(RecordingTime, OfGuanoKeepsItsZone) {
  EXPECT_EQ(of_guano("2017-01-01T00:00:00-07:00"), "2017-01-01T00:00:00.000-07:00 guano");
  EXPECT_EQ(of_guano("2017-01-01T00:00:00.123456+0545"), "2017-01-01T00:00:00.123+05:45 guano");
  EXPECT_EQ(of_guano("2017-01-01T00:00:00.9996Z"), "2017-01-01T00:00:01.000Z guano");
  EXPECT_EQ(of_guano("2017-01-01 23:59:59"), "2017-01-01T23:59:59.000 guano");
  EXPECT_EQ(of_guano("  2017-01-01T00:00:00+00:00  \r"), "2017-01-01T00:00:00.000Z guano");
  EXPECT_EQ(of_guano("2024-02-29T12:00:00.123456789012-03"), "2024-02-29T12:00:00.123-03:00 guano");
}

TEST(RecordingTime, CountsMicrosecondsOfUtc) {
  const TempFolder folder;
  write_bytes(folder / "a.wav", wave(guano("2019-05-21T21:17:30.25+02:00")));
  EXPECT_EQ(recording_time(folder / "a.wav"),
            (RecordingTime{kMay2019 * kSecond_us + 250'000, 120, RecordingTimeSource::guano}));
  write_bytes(folder / "a.wav", wave(guano("2019-05-21T19:17:30")));
  EXPECT_EQ(recording_time(folder / "a.wav"), (RecordingTime{kMay2019 * kSecond_us, std::nullopt, RecordingTimeSource::guano}));
}

TEST(RecordingTime, OfGuanoIsItsOwnLineOnly) {
  EXPECT_EQ(found_in(wave(chunk("guan",
                                "GUANO|Version:1.0\nXYZ|Timestamp: 2017-01-01T00:00:00Z\nNote: Timestamp: "
                                "2017-01-01T00:00:00Z"))),
            "");
  EXPECT_EQ(found_in(wave(chunk("guan", "GUANO|Version:1.0\r\nTimestamp:2017-01-01T00:00:00Z\r\n"))),
            "2017-01-01T00:00:00.000Z guano");
  EXPECT_EQ(found_in(wave(chunk("guan", "Timestamp: 2017-01-01T00:00:00Z" + std::string(3, '\0')))),
            "2017-01-01T00:00:00.000Z guano");
}

TEST(RecordingTime, OfGuanoThatIsNoTimeIsNone) {
  for (const char* text : {"",
                           "yesterday",
                           "2017-02-29T00:00:00Z",
                           "2017-13-01T00:00:00Z",
                           "2017-00-01T00:00:00Z",
                           "2017-01-32T00:00:00Z",
                           "2017-01-01T24:00:00Z",
                           "2017-01-01T00:60:00Z",
                           "2017-01-01T00:00:60Z",
                           "2017-01-01T00:00:00+15:00",
                           "2017-01-01T00:00:00-12:30",
                           "2017-01-01T00:00:00+02:75",
                           "2017-01-01T00:00:00+02:",
                           "2017-01-01T00:00:00+02:001",
                           "2017-01-01T00:00:00 CET",
                           "2017-01-01T00:00",
                           "2017-01-01",
                           "0000-01-01T00:00:00",
                           "1899-12-31T00:00:00",
                           "2101-01-01T00:00:00",
                           "-017-01-01T00:00:00",
                           "2017-1-1T00:00:00",
                           "99999999999999999999"}) {
    EXPECT_EQ(of_guano(text), "") << text;
  }
}

TEST(RecordingTime, OfAudioMothsCommentInEveryFirmwaresSpelling) {
  const std::string moth = " by AudioMoth 243B1F026488F56E at medium gain setting while battery state was 4.2V.";
  EXPECT_EQ(of_comment("Recorded at 19:17:30 21/05/2019 (UTC)" + moth), "2019-05-21T19:17:30.000Z audiomoth");
  EXPECT_EQ(of_comment("Recorded at 19:17:30 21/05/2019" + moth), "2019-05-21T19:17:30.000 audiomoth");
  EXPECT_EQ(of_comment("Recorded at 19:17:30 21/05/2019 (UTC+2)" + moth), "2019-05-21T19:17:30.000+02:00 audiomoth");
  EXPECT_EQ(of_comment("Recorded at 19:17:30 21/05/2019 (UTC-2:30)" + moth), "2019-05-21T19:17:30.000-02:30 audiomoth");
  EXPECT_EQ(of_comment("Recorded at 19:17:30 21/05/2019 (UTC+5:45)" + moth), "2019-05-21T19:17:30.000+05:45 audiomoth");
  EXPECT_EQ(of_comment("Recorded at 19:17:30 21/05/2019 (UTC+12)" + moth), "2019-05-21T19:17:30.000+12:00 audiomoth");
  EXPECT_EQ(of_comment("Recorded at 19:17:30.123 21/05/2019 (UTC)" + moth), "2019-05-21T19:17:30.123Z audiomoth");
  EXPECT_EQ(of_comment("Recorded at 19:17:30 21/05/2019 (UTC) during deployment 3F0A2B1C5D4E6F70" + moth),
            "2019-05-21T19:17:30.000Z audiomoth");
}

TEST(RecordingTime, OfAnotherCommentIsNone) {
  for (const char* text : {"", "Recorded at ", "Recorded at home", "Recorded at 19:17:30 05/21/2019 (UTC) by AudioMoth",
                           "Recorded at 19:17:30 21/05/2019 (UTC+) by AudioMoth", "Recorded at 19:17:30 21/05/2019 (UTC+2",
                           "Recorded at 19:17:30 21/05/2019", "Recorded at 19:17 21/05/2019 (UTC) by AudioMoth"}) {
    EXPECT_EQ(of_comment(text), "") << text;
  }
}

TEST(RecordingTime, OfAClipThatOpenSoundscapeCutIsTheClips) {
  EXPECT_EQ(of_comment(R"(opso_metadata{"comment": "Recorded at 10:00:00 28/05/2024 (UTC) by AudioMoth 243B at medium gain.", )"
                       R"("recording_start_time": "2024-05-28T10:05:00.5+00:00", "channels": 1})"),
            "2024-05-28T10:05:00.500Z opensoundscape");
  EXPECT_EQ(of_comment(R"(opso_metadata{"recording_start_time": null, "comment": "Recorded at 10:00:00 28/05/2024 (UTC) by )"
                       R"(AudioMoth"})"),
            "");
}

TEST(RecordingTime, OfBroadcastWaveHasNoZone) {
  EXPECT_EQ(found_in(wave(bext("2023-05-01", "05:00:00") + kData)), "2023-05-01T05:00:00.000 bext");
  EXPECT_EQ(found_in(wave(bext("2023_05_01", "05.00.00") + kData)), "2023-05-01T05:00:00.000 bext");
  EXPECT_EQ(found_in(wave(bext("0000-00-00", "00:00:00") + kData)), "");
  EXPECT_EQ(found_in(wave(bext("", "") + kData)), "");
  EXPECT_EQ(found_in(wave(chunk("bext", std::string(337, '2')) + kData)), "");
}

TEST(RecordingTime, TrustsTheHeaderMoreThanTheName) {
  const std::string name = "SITE_20230501_050000.wav";
  const std::string audiomoth = comment("Recorded at 01:00:00 01/01/2020 (UTC) by AudioMoth 1");
  const auto all = guano("2021-01-01T00:00:00Z") + audiomoth + bext("2019-01-01", "00:00:00");
  EXPECT_EQ(found_in(wave(all + kData), name), "2021-01-01T00:00:00.000Z guano");
  EXPECT_EQ(found_in(wave(bext("2019-01-01", "00:00:00") + kData + audiomoth), name), "2020-01-01T01:00:00.000Z audiomoth");
  EXPECT_EQ(found_in(wave(guano("?") + comment("hello") + bext("2019-01-01", "00:00:00")), name),
            "2019-01-01T00:00:00.000 bext");
  EXPECT_EQ(found_in(wave(kData), name), "2023-05-01T05:00:00.000 file name");
  EXPECT_EQ(found_in("fLaC and so on", name), "2023-05-01T05:00:00.000 file name");
}

TEST(RecordingTime, IsFoundBehindChunksOfOddSizeAndInRf64) {
  const auto late = chunk("data", std::string(333, '\x01')) + chunk("junk", "x") + guano("2021-01-01T00:00:00Z");
  EXPECT_EQ(found_in(wave(late)), "2021-01-01T00:00:00.000Z guano");
  const auto ds64 = chunk("ds64", number(0, 8) + number(334, 8) + number(167, 8) + number(0, 4));
  const auto data = "data" + number(0xffffffff, 4) + std::string(334, '\x01');
  for (const char* kind : {"RF64", "BW64"})
    EXPECT_EQ(found_in(wave(ds64 + data + guano("2021-01-01T00:00:00Z"), kind)), "2021-01-01T00:00:00.000Z guano");
  const auto lie = chunk("ds64", number(0, 8) + number(std::numeric_limits<std::uint64_t>::max(), 8) + number(167, 8));
  EXPECT_EQ(found_in(wave(lie + data + guano("2021-01-01T00:00:00Z"), "RF64")), "");
}

TEST(RecordingTime, OfSizesThatLieIsWhatComesBefore) {
  const std::string beyond = "data" + number(1'000'000, 4) + std::string(100, '\x01');
  EXPECT_EQ(found_in(wave(guano("2021-01-01T00:00:00Z") + beyond)), "2021-01-01T00:00:00.000Z guano");
  EXPECT_EQ(found_in(wave(beyond + guano("2021-01-01T00:00:00Z"))), "");
  auto cut = wave(kData + guano("2021-01-01T00:00:00+02:00"));
  cut.resize(cut.size() - 20);  // the line is cut, its zone may be lost
  EXPECT_EQ(found_in(cut), "");
  const std::string inside = "INFOICMT" + number(0xfffffff0, 4) + "Recorded at 19:17:30 21/05/2019 (UTC) by AudioMoth";
  EXPECT_EQ(found_in(wave(chunk("LIST", inside) + guano("2021-01-01T00:00:00Z"))), "2021-01-01T00:00:00.000Z guano");
  EXPECT_EQ(found_in(wave(chunk("LIST", inside))), "");
}

TEST(RecordingTime, ReadsLongTextsInPart) {
  const std::string note = "Note: " + std::string(200'000, 'x') + '\n';
  EXPECT_EQ(found_in(wave(chunk("guan", "Timestamp: 2021-01-01T00:00:00Z\n" + note))), "2021-01-01T00:00:00.000Z guano");
  EXPECT_EQ(found_in(wave(chunk("guan", note + "Timestamp: 2021-01-01T00:00:00Z\n"))), "");
  // Cut behind "00:00:00": what is left would be a valid time without its zone.
  const std::string line = "Timestamp: 2021-01-01T00:00:00";
  EXPECT_EQ(found_in(wave(chunk("guan", std::string(65536 - line.size() - 1, 'x') + '\n' + line + "+02:00\n"))), "");
}

TEST(RecordingTime, OfHostileBytesNeverThrows) {
  std::mt19937 random(1);
  const auto good = wave(bext("2023-05-01", "05:00:00") + guano("2021-01-01T00:00:00.5+02:00") + kData +
                         comment("Recorded at 19:17:30.123 21/05/2019 (UTC-2:30) by AudioMoth 24"));
  const TempFolder folder;
  const auto path = folder / "x.wav";
  for (int round = 0; round < 500; ++round) {
    auto bytes = good;
    for (auto changes = random() % 20; changes-- > 0;) bytes[random() % bytes.size()] = static_cast<char>(random());
    if (round % 3 == 0) bytes.resize(random() % bytes.size());
    write_bytes(path, bytes);
    const auto time = recording_time(path);
    EXPECT_GE(rfc3339(time.value_or(RecordingTime{})).size(), std::string("2019-05-21T21:17:30.000").size());
  }
  std::string many = wave("");
  for (int i = 0; i < 100'000; ++i) many += chunk("junk", "");
  EXPECT_EQ(found_in(many + guano("2021-01-01T00:00:00Z")), "");
}

TEST(RecordingTime, OfWhatIsNoFileIsThatOfItsName) {
  const TempFolder folder;
  EXPECT_EQ(recording_time(folder / "missing.wav"), std::nullopt);
  EXPECT_NE(recording_time(folder / "20230501_050000.wav"), std::nullopt);
  fs::create_directory(folder / "20230501_050000");
  EXPECT_NE(recording_time(folder / "20230501_050000"), std::nullopt);
  EXPECT_EQ(recording_time(""), std::nullopt);
  EXPECT_EQ(found_in(""), "");
  EXPECT_EQ(found_in("RIFF"), "");
}

TEST(RecordingTime, OfNamesWithDateAndTime) {
  for (const char* name :
       {"20230501_050000.wav", "SITE_20230501_050000.wav", "a/b c/SITE-20230501_050000_x.flac", "20230501T050000.wav",
        "SITE20230501_050000.wav", "2023-05-01_05-00-00.wav", "x 2023-05-01T05:00:00.mp3", "S4A_20230501_050000T.WAV",
        "1234_20230501_050000.wav", "20230501_050000_20230501_060000.wav", "SM3_0+1_20230501$050000.wav", "20230501-050000.ogg",
        "20230501_050000_0200.wav", "20230501_050000-0001.wav", "20230501_050000Zoo.wav", "20230501_050000+1500.wav",
        "20239901_050000_20230501_050000.wav", "20230501_050000+02001.wav"}) {
    EXPECT_EQ(of_name(name), "2023-05-01T05:00:00.000") << name;
  }
}

TEST(RecordingTime, OfNamesKeepsTheirZone) {
  EXPECT_EQ(of_name("20230501_050000Z.wav"), "2023-05-01T05:00:00.000Z");
  EXPECT_EQ(of_name("20230501T050000+0200.wav"), "2023-05-01T05:00:00.000+02:00");
  EXPECT_EQ(of_name("SITE_20230501_050000-0700_x.wav"), "2023-05-01T05:00:00.000-07:00");
  EXPECT_EQ(of_name("2023-05-01_05-00-00+0545.wav"), "2023-05-01T05:00:00.000+05:45");
}

TEST(RecordingTime, OfOtherNamesIsNone) {
  for (const char* name : {"", "dawn.wav", "20230501.wav", "20230501_0500.wav", "20230501_0500001.wav", "120230501_050000.wav",
                           "20230229_050000.wav", "20230501_250000.wav", "20230501_056000.wav", "20230501_050061.wav",
                           "18990501_050000.wav", "2023-0501_050000.wav", "2023-05-01_05-0000.wav", "20230501__050000.wav",
                           "99999999_999999.wav", "/20230501_050000/dawn.wav"}) {
    EXPECT_EQ(of_name(name), "") << name;
  }
}

TEST(RecordingTime, OfAudioMothsHexadecimalNamesIsUtc) {
  EXPECT_EQ(of_name("5CE44ECA.WAV"), "2019-05-21T19:17:30.000Z");
  EXPECT_EQ(of_name("5ce44eca.wav"), "2019-05-21T19:17:30.000Z");
  EXPECT_EQ(of_name("54A48E00.WAV"), "2015-01-01T00:00:00.000Z");
  EXPECT_EQ(of_name("54A48DFF.WAV"), "");  // a second before: there were none
  EXPECT_EQ(of_name("FFFFFFFF.WAV"), "");
  EXPECT_EQ(of_name("5CE44ECA0.WAV"), "");
  EXPECT_EQ(of_name("x5CE44ECA.WAV"), "");
  EXPECT_EQ(of_name("5CE44EC.WAV"), "");
  EXPECT_EQ(of_name("+CE44ECA.WAV"), "");
  EXPECT_EQ(of_name("20230501.WAV"), "");  // a date
}

TEST(RecordingTime, MovesBySamplesWithoutDrift) {
  const RecordingTime begin{0, 120, RecordingTimeSource::guano};
  EXPECT_EQ(moment_in(begin, 0, 32000), begin);
  EXPECT_EQ(moment_in(begin, 1, 3).unix_us, 333333);
  EXPECT_EQ(moment_in(begin, 2, 3).unix_us, 666667);
  EXPECT_EQ(moment_in(begin, 2'999'999, 3'000'000).unix_us, 1'000'000);
  const std::int64_t year_s = 365LL * 24 * 3600;
  EXPECT_EQ(moment_in(begin, year_s * 22050 + 11025, 22050).unix_us, year_s * kSecond_us + 500'000);
  EXPECT_EQ(moment_in(begin, 5, 1).utc_offset_min, 120);
}

TEST(RecordingTime, IsWrittenInItsOwnZone) {
  const auto text = [](std::int64_t unix_us, std::optional<int> offset) {
    return rfc3339({unix_us, offset, RecordingTimeSource::guano});
  };
  EXPECT_EQ(text(kMay2019 * kSecond_us, 0), "2019-05-21T19:17:30.000Z");
  EXPECT_EQ(text(kMay2019 * kSecond_us, 120), "2019-05-21T21:17:30.000+02:00");
  EXPECT_EQ(text(kMay2019 * kSecond_us, -570), "2019-05-21T09:47:30.000-09:30");
  EXPECT_EQ(text(kMay2019 * kSecond_us, std::nullopt), "2019-05-21T19:17:30.000");
  EXPECT_EQ(text(-1000, 0), "1969-12-31T23:59:59.999Z");
  EXPECT_EQ(text(-500, 0), "1970-01-01T00:00:00.000Z");  // the nearest millisecond
  EXPECT_EQ(text(499, 0), "1970-01-01T00:00:00.000Z");
}

TEST(RecordingTime, OfRealFiles) {
  const auto data = audio_test::shared_data();
  if (data.empty()) GTEST_SKIP() << "no recordings: set WHIMBREL_SHARED";
  const auto text = [&](const char* name) {
    const auto time = recording_time(data / "odd" / name);
    return time ? rfc3339(*time) + ' ' + std::string(to_string(time->source)) : "";
  };
  EXPECT_EQ(text("audiomoth_gps.wav"), "2024-05-28T10:00:00.000Z opensoundscape");
  EXPECT_EQ(text("metadata.wav"), "2020-04-04T10:25:00.000Z audiomoth");
  EXPECT_EQ(text("truncated.flac"), "");
}

}  // namespace
}  // namespace whimbrel
