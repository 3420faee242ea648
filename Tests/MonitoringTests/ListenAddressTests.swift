// SPDX-License-Identifier: Apache-2.0

import Monitoring
import Testing

@Suite struct ListenAddressTests {
    @Test(arguments: [
        ("9464", "127.0.0.1:9464", true), ("127.0.0.1:0", "127.0.0.1:0", true), ("[::1]:80", "[::1]:80", true),
        ("localhost:8080", "localhost:8080", true), ("0.0.0.0:1", "0.0.0.0:1", false), ("[::]:1", "[::]:1", false),
        ("127.example.com:1", "127.example.com:1", false), ("127.0.0.1.evil:1", "127.0.0.1.evil:1", false),
        ("10.0.0.7:65535", "10.0.0.7:65535", false),
    ])
    func addressesAreRead(text: String, description: String, isLoopback: Bool) throws {
        let address = try #require(ListenAddress(text))
        #expect(address.description == description)
        #expect(address.isLoopback == isLoopback)
    }

    @Test(arguments: ["", ":", ":80", "host", "host:", "host:65536", "host:-1", "::1:80", "host:8a", "host:+8"])
    func othersAreRefused(text: String) {
        #expect(ListenAddress(text) == nil)
    }
}
