-- The checks of the nginx peer: RS256 through libcrypto, claims, limit, route, permission, fence, key. See nginx.ts.
local ffi = require("ffi")
local cjson = require("cjson.safe")
local lrucache = require("resty.lrucache")
ffi.cdef [[
typedef struct bio_st BIO; typedef struct evp_pkey_st EVP_PKEY; typedef struct evp_md_ctx_st EVP_MD_CTX; typedef struct evp_md_st EVP_MD;
BIO *BIO_new_mem_buf(const void *buf, int len); EVP_PKEY *PEM_read_bio_PUBKEY(BIO *bp, void *x, void *cb, void *u);
EVP_MD_CTX *EVP_MD_CTX_new(void); const EVP_MD *EVP_sha256(void); int EVP_MD_CTX_reset(EVP_MD_CTX *c);
int EVP_DigestVerifyInit(EVP_MD_CTX *c, void *pctx, const EVP_MD *t, void *e, EVP_PKEY *k);
int EVP_DigestVerify(EVP_MD_CTX *c, const char *sig, size_t sl, const char *tbs, size_t tl);
]]
local C = ffi.C
local M = {}
local policy, key, context, known

local function read(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read("*a")
  file:close()
  return text
end

local function base64url(text)
  text = text:gsub("-", "+"):gsub("_", "/")
  return ngx.decode_base64(text .. string.rep("=", -#text % 4))
end

function M.load(policy_file, key_file, keeps_tokens)
  policy = cjson.decode(read(policy_file))
  local pem = read(key_file)
  key = C.PEM_read_bio_PUBKEY(C.BIO_new_mem_buf(pem, #pem), nil, nil, nil)
  context = C.EVP_MD_CTX_new()
  known = keeps_tokens and lrucache.new(10000)
end

local function verify(token)
  local head, claims, signature = token:match("^([^.]+)%.([^.]+)%.([^.]+)$")
  if not head then return nil end
  local header = cjson.decode(base64url(head) or "")
  if not header or header.alg ~= "RS256" then return nil end
  local bytes = base64url(signature)
  if not bytes then return nil end
  local text = head .. "." .. claims
  C.EVP_MD_CTX_reset(context)
  if C.EVP_DigestVerifyInit(context, nil, C.EVP_sha256(), nil, key) ~= 1
    or C.EVP_DigestVerify(context, bytes, #bytes, text, #text) ~= 1 then return nil end
  local who = cjson.decode(base64url(claims) or "")
  if not who or who.iss ~= policy.issuer or who.aud ~= policy.audience or type(who.exp) ~= "number" then return nil end
  return { team = who.team, exp = who.exp }
end

function M.run()
  local field = ngx.var.http_authorization
  if not field or field:sub(1, 7) ~= "Bearer " then return ngx.exit(401) end
  local who = known and known:get(field)
  if not who then
    who = verify(field:sub(8))
    if not who then return ngx.exit(401) end
    if known then known:set(field, who, 300) end
  end
  if who.exp <= ngx.time() then return ngx.exit(401) end
  local team = policy.teams[who.team]
  if not team then return ngx.exit(403) end
  local organization, rest = ngx.var.uri:match("^/v3/organizations/([^/]+)(/.*)$")
  if not organization then return ngx.exit(404) end
  local session, below = rest:match("^/sessions/(devin%-[^/]+)(.*)$")
  local shape = session and ("/sessions/:id" .. below) or rest
  local route = policy.routes[ngx.req.get_method() .. "_/v3/organizations/:org" .. shape]
  if not route then return ngx.exit(404) end
  if not team.permissions[route.permission] or team.organization ~= organization then return ngx.exit(403) end
  if ngx.shared.uses:incr(who.team, 1, 0, 86400) > team.perDay then return ngx.exit(429) end
  ngx.var.credential = team[route.key]
  if route.cached then ngx.var.zone = "api" end
end

return M
