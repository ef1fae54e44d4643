// Copyright: (c) 2026, the crdb.onboard authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.net.URLDecoder;
import java.nio.charset.StandardCharsets;
import java.util.Base64;

/**
 * Reads JDBC URLs, one a line, and prints what java.net.URLDecoder makes of each: the database, then every query
 * parameter, as name=value in Base64, separated by spaces.
 */
public class JdbcUrl {
    public static void main(String[] arguments) throws Exception {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            int mark = line.indexOf('?');
            String address = line.substring("jdbc:postgresql://".length(), mark);
            StringBuilder out = new StringBuilder(pair("", address.substring(address.indexOf('/') + 1)));
            for (String piece : line.substring(mark + 1).split("&")) {
                int equals = piece.indexOf('=');
                out.append(' ').append(pair(piece.substring(0, equals), piece.substring(equals + 1)));
            }
            System.out.println(out);
        }
    }

    private static String pair(String name, String value) {
        String text = name + "=" + URLDecoder.decode(value, StandardCharsets.UTF_8);
        return Base64.getEncoder().encodeToString(text.getBytes(StandardCharsets.UTF_8));
    }
}
