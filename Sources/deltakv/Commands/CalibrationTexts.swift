// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Compression
import Foundation

/// The texts that `deltakv calibrate` learns from: the user's, else prose that lies on any Debian machine.
struct CalibrationTexts {
    /// Parts of Perl's manual and of the Debian handbook. None of them is a text that `deltakv eval` scores or `ops/demo`
    /// submits.
    private static let chapters = ["perlfaq4", "perlobj", "perldebtut", "perlfaq3", "perlunicode", "perlpod"]
    private static let handbook = "/usr/share/doc/debian-handbook/html/en-US"
    private static let licences = "/usr/share/common-licenses"

    private let texts: [String]

    /// Reads the files.
    ///
    /// - Throws: `ValidationError` for a file that is no text, and if there are no texts.
    init(files: [String]) throws {
        texts = files.isEmpty ? Self.defaults() : try files.map(Self.read)
        guard !texts.isEmpty else {
            throw ValidationError(
                "there is no text to learn from: name files with --text, or install the package perl-doc (Debian)")
        }
    }

    /// Texts as tokens, cut to pieces that calibration takes, the same share of every file, `limit` tokens together at most.
    func pieces(of limit: Int, encode: (String) -> [Int32]) -> [[Int32]] {
        CalibrationPieces.cut(texts.map(encode), limit: limit)
    }

    private static func read(_ path: String) throws -> String {
        guard let data = FileManager.default.contents(atPath: path) else {
            throw ValidationError("the text \(path) cannot be read: check the path")
        }
        guard let text = String(validating: data, as: UTF8.self) else {
            throw ValidationError("the text \(path) is not valid UTF-8")
        }
        return text
    }

    private static func defaults() -> [String] {
        let root = "/usr/share/perl"
        let versions = ((try? FileManager.default.contentsOfDirectory(atPath: root)) ?? []).sorted()
        let pods = chapters.compactMap { chapter in
            versions.lazy.compactMap { try? read("\(root)/\($0)/pod/\(chapter).pod") }.first
        }
        let pages = ((try? FileManager.default.contentsOfDirectory(atPath: handbook)) ?? []).sorted()
            .filter { $0.hasPrefix("sect.") && $0.hasSuffix(".html") }.prefix(40)
            .compactMap { try? read("\(handbook)/\($0)") }.map(withoutTags)
        let licence = try? read("\(licences)/GPL-3")
        return pods + (pages.isEmpty ? [] : [pages.joined(separator: "\n")]) + [licence].compactMap { $0 }
    }

    /// The text of an HTML page, roughly: what stands between tags.
    private static func withoutTags(_ html: String) -> String {
        var text = "", isTag = false
        for character in html {
            if character == "<" {
                isTag = true
            } else if character == ">" {
                isTag = false
            } else if !isTag {
                text.append(character)
            }
        }
        return text
    }
}
